"""The parts of TensorRT that run an engine, played by ONNX Runtime on the memory of a fake machine.

Faithful in what the runtime relies on: shapes and addresses stick to a context, one run at a new shape comes before a
capture, a graph is void once its context changed, an address must be a multiple of 256, scratch memory is written to,
refusals are a logged error and False or None.
"""

from __future__ import annotations

import enum
import itertools
import json
import math
import threading
import types
import weakref
from typing import Any

import numpy as np


def make_module(name: str, version: str, machine: Any, misuse: type[Exception], operation: Any, device: Any) -> Any:
    """A fake TensorRT package.

    Args:
        name: "tensorrt", "tensorrt_lean", "tensorrt_dispatch" or "tensorrt_rtx".
        version: its `__version__`.
        machine: the fake machine, with its `Misuse`, `Operation` and the memory type of GPU memory.
    """
    trt = types.ModuleType(name)
    is_rtx = name == "tensorrt_rtx"

    class Severity(enum.Enum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2

    class ILogger:
        INTERNAL_ERROR, ERROR, WARNING = Severity

        def log(self, severity: Severity, message: str) -> None:
            raise NotImplementedError

    class TensorIOMode(enum.Enum):
        INPUT = 1
        OUTPUT = 2

    class ExecutionContextAllocationStrategy(enum.Enum):
        STATIC = 0
        USER_MANAGED = 2

    class DynamicShapesKernelSpecializationStrategy(enum.Enum):
        LAZY = 0
        EAGER = 1
        NONE = 2

    class Runtime:
        def __init__(self, logger: ILogger) -> None:
            if not machine.driver or not machine.gpus:
                raise misuse("TensorRT without a driver ends the process")
            self._logger = logger
            self._engine_host_code_allowed = False
            self._lean = name != "tensorrt_dispatch"

        @property
        def engine_host_code_allowed(self) -> bool:
            return self._engine_host_code_allowed

        @engine_host_code_allowed.setter
        def engine_host_code_allowed(self, value: bool) -> None:
            raise misuse("code for the CPU inside of an engine was allowed")

        def load_runtime(self, path: str) -> Runtime | None:
            machine.log.append(("load_runtime", path))
            if "load_runtime" in machine.failing:
                self._logger.log(Severity.ERROR, f"Unable to open library: {path}")
                return None
            loaded = Runtime(self._logger)
            loaded._lean = True
            return loaded

        def get_plugin_registry(self) -> str:
            return "registry of the lean runtime"

        def deserialize_cuda_engine(self, data: bytes) -> ICudaEngine | None:
            if not self._lean:
                raise misuse("the dispatch runtime has no lean runtime")
            machine.log.append(("deserialize", len(data)))
            if "deserialize" in machine.failing:
                self._logger.log(Severity.ERROR, machine.failing["deserialize"])
                self._logger.log(Severity.ERROR, "and a second error that follows from the first")
                return None
            return ICudaEngine(self._logger, machine.engines[data])

    class IRuntimeCache:
        """The shapes that kernels were compiled for, on this GPU with this driver."""

        def __init__(self) -> None:
            self._shapes: set[tuple[int, ...]] = set()

        def _environment(self) -> list:
            return [version, machine.gpus, machine.driver]

        def serialize(self) -> bytes:
            machine.log.append(("serialize kernels", len(self._shapes)))
            return json.dumps([self._environment(), sorted(self._shapes)]).encode()

        def deserialize(self, blob: bytes) -> bool:
            environment, shapes = json.loads(blob)
            if environment != json.loads(json.dumps(self._environment())):
                return False
            self._shapes = {tuple(shape) for shape in shapes}
            return True

    class IRuntimeConfig:
        def __init__(self) -> None:
            self.allocation = ExecutionContextAllocationStrategy.STATIC
            self.dynamic_shapes_kernel_specialization_strategy = DynamicShapesKernelSpecializationStrategy.LAZY
            self._cache: IRuntimeCache | None = None

        def set_execution_context_allocation_strategy(self, strategy: ExecutionContextAllocationStrategy) -> None:
            self.allocation = strategy

        def create_runtime_cache(self) -> IRuntimeCache:
            return IRuntimeCache()

        def set_runtime_cache(self, cache: IRuntimeCache) -> bool:
            self._cache = cache
            return True

    class ICudaEngine:
        def __init__(self, logger: ILogger, onnx: bytes) -> None:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            options.log_severity_level = 4
            self.session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
            self.logger = logger
            types_of = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(int32)": np.int32}
            self._inputs = {value.name: types_of[value.type] for value in self.session.get_inputs()}
            self._outputs = {value.name: types_of[value.type] for value in self.session.get_outputs()}
            self.output_shapes = {value.name: value.shape for value in self.session.get_outputs()}
            self.num_io_tensors = len(self._inputs) + len(self._outputs)

        def get_tensor_name(self, index: int) -> str:
            return [*self._inputs, *self._outputs][index]

        def get_tensor_mode(self, tensor: str) -> TensorIOMode:
            return TensorIOMode.INPUT if tensor in self._inputs else TensorIOMode.OUTPUT

        def get_tensor_dtype(self, tensor: str) -> Any:
            return {**self._inputs, **self._outputs}[tensor]

        def create_runtime_config(self) -> IRuntimeConfig:
            return IRuntimeConfig()

        def create_execution_context(self, config: Any = None) -> IExecutionContext | None:
            machine.allocating("a context")
            machine.log.append(("create context",))
            if "create_execution_context" in machine.failing:
                self.logger.log(Severity.ERROR, machine.failing["create_execution_context"])
                return None
            allocation = config.allocation if is_rtx else config
            if allocation is not ExecutionContextAllocationStrategy.USER_MANAGED:
                raise misuse("a context with memory of its own for each shape")
            return IExecutionContext(self, config)

    class IExecutionContext:
        def __init__(self, engine: ICudaEngine, config: Any) -> None:
            self._engine, self._config = engine, config
            self._shapes: dict[str, tuple[int, ...]] = {}
            self._addresses: dict[str, int] = {}
            self._scratch: tuple[int, int] | None = None
            self._generation = 0  # changes with every change of state
            self._ran_at: tuple[int, ...] | None = None
            self._busy_for: int | None = None  # the thread whose work is under way

        def _use(self) -> None:
            if self._busy_for not in (None, threading.get_ident()):
                raise misuse("a context is used by two threads at a time")

        def set_input_shape(self, tensor: str, shape: tuple[int, ...]) -> bool:
            self._use()
            self._generation += 1
            if tensor == "images" and max(shape[1:3]) > 4096:
                self._engine.logger.log(Severity.ERROR, f"setInputShape: {shape} is out of range")
                return False
            self._shapes[tensor] = tuple(shape)
            return True

        def infer_shapes(self) -> list[str]:
            if "infer_shapes" in machine.failing:
                self._engine.logger.log(Severity.ERROR, machine.failing["infer_shapes"])
                raise RuntimeError("infer_shapes error code: -1")
            return [value.name for value in self._engine.session.get_inputs() if value.name not in self._shapes]

        def get_tensor_shape(self, tensor: str) -> tuple[int, ...]:
            if tensor in self._shapes:
                return self._shapes[tensor]
            batch = self._shapes["images"][0]
            return tuple(side if isinstance(side, int) else batch for side in self._engine.output_shapes[tensor])

        def update_device_memory_size_for_shapes(self) -> int:
            return math.prod(self._shapes["images"]) * 4 + 100

        def set_device_memory(self, memory: int, size: int) -> None:
            self._use()
            self._generation += 1
            if size < self.update_device_memory_size_for_shapes() or memory % 512:
                raise misuse("too little scratch memory, or at an odd address")
            self._scratch = (memory, size)

        def set_tensor_address(self, tensor: str, memory: int) -> bool:
            self._use()
            self._generation += 1
            if memory % 256:
                self._engine.logger.log(Severity.ERROR, f"setTensorAddress: {tensor} is not aligned")
                return False
            self._addresses[tensor] = memory
            return True

        def execute_async_v3(self, stream: int) -> bool:
            self._use()
            if not stream:
                raise misuse("the default stream")
            if "execute_async_v3" in machine.failing:
                self._engine.logger.log(Severity.ERROR, machine.failing["execute_async_v3"])
                return False
            capturing = machine.streams[stream].captured is not None
            shape = self._shapes["images"]
            if capturing and (not machine.can_capture or self._ran_at != shape):
                machine.streams[stream].capture_broken = True
                self._engine.logger.log(Severity.ERROR, "operation not permitted when stream is capturing")
                return False
            if is_rtx and not capturing:
                with machine.lock:
                    cache = self._config._cache
                    if cache is None or shape not in cache._shapes:
                        machine.log.append(("compile", shape))
                    if cache is not None:
                        cache._shapes.add(shape)
            self._ran_at = shape
            self._busy_for = None if capturing else threading.get_ident()
            tensors = self._tensors()
            generation, context = self._generation, weakref.ref(self)
            engine, scratch = self._engine, self._scratch
            if scratch is None:
                raise misuse("no scratch memory")
            ranges = sorted([scratch, *((at, size) for at, size, _, _ in tensors.values())])
            for (at, size), (following, _) in itertools.pairwise(ranges):
                if at + size > following:
                    raise misuse("tensors overlap each other, or the scratch memory")

            def check() -> None:
                alive = context()
                if alive is None or alive._generation != generation:
                    raise misuse("a graph is launched whose context changed, or is gone")
                lazy = DynamicShapesKernelSpecializationStrategy.LAZY
                if is_rtx and alive._config.dynamic_shapes_kernel_specialization_strategy is lazy:
                    raise misuse("a graph is launched whose kernels were swapped")

            def execute() -> None:
                machine.read(*scratch, device)[:] = 0xAB
                arrays = {key: machine.read(at, size, device) for key, (at, size, _, _) in tensors.items()}
                views = {key: arrays[key].view(tensors[key][2]).reshape(tensors[key][3]) for key in arrays}
                names = [value.name for value in engine.session.get_inputs()]
                outputs = list(engine.output_shapes)
                results = engine.session.run(outputs, {key: views[key].copy() for key in names})
                for key, result in zip(outputs, results, strict=True):
                    views[key][...] = result
                if (alive := context()) is not None:
                    alive._busy_for = None

            machine.log.append(("enqueue", shape))
            machine.queue(stream, operation("engine", execute, check))
            return True

        def _tensors(self) -> dict[str, tuple[int, int, Any, tuple[int, ...]]]:
            """Address, bytes, type and shape of each tensor."""
            tensors = {}
            for index in range(self._engine.num_io_tensors):
                key = self._engine.get_tensor_name(index)
                shape, dtype = self.get_tensor_shape(key), self._engine.get_tensor_dtype(key)
                size = math.prod(shape) * np.dtype(dtype).itemsize
                machine.read(self._addresses[key], size, device)
                tensors[key] = (self._addresses[key], size, dtype, shape)
            return tensors

    if is_rtx:
        setattr(trt, DynamicShapesKernelSpecializationStrategy.__name__, DynamicShapesKernelSpecializationStrategy)
        IExecutionContext.is_stream_capturable = lambda self, stream: machine.can_capture  # type: ignore[attr-defined]
    else:
        del ICudaEngine.create_runtime_config
    kinds = (ILogger, TensorIOMode, ExecutionContextAllocationStrategy, Runtime)
    for kind in (*kinds, ICudaEngine, IExecutionContext, IRuntimeConfig, IRuntimeCache):
        setattr(trt, kind.__name__, kind)
    trt.get_plugin_registry = lambda: f"registry of {name}"  # type: ignore[attr-defined]
    trt.nptype = lambda dtype: dtype  # type: ignore[attr-defined]
    trt.__version__ = version  # type: ignore[attr-defined]
    return trt
