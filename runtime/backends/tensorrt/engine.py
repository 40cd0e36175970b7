"""An engine file, checked and loaded: the order of the checks, and what TensorRT logged where it refuses."""

from __future__ import annotations

import threading
from collections import deque
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from maskrt.contract.manifest import Manifest, check_engine_files
from maskrt.contract.metadata import ModelMetadata
from maskrt.contract.tensors import INPUTS
from maskrt.errors import ModelError
from maskrt.plugins.libraries import PluginLibraryError
from maskrt.plugins.loader import check_driver, load_plugins, plugin_library
from maskrt.runtime.backends.base import is_maskrt_model, output_names
from maskrt.runtime.backends.tensorrt.kernel_cache import KernelCache
from maskrt.runtime.backends.tensorrt.manifest import FLAVOR_NAMES, check_gpu, check_plugins
from maskrt.runtime.backends.tensorrt.modules import DISPATCH, import_tensorrt, lean_library
from maskrt.runtime.cuda.device import Gpu

_REGISTRATION = threading.Lock()
"""Of a log and of plugins: TensorRT keeps one of each in a process."""


class Engine:
    """A deserialized engine.

    Nothing of the file reaches TensorRT before the manifest, the GPU, TensorRT's version, the plugins and the file's
    hash are found to fit. Code for the CPU inside of an engine is never allowed to run.

    Args:
        path: the engine file.
        manifest: of that file.
        gpu: where it shall run.

    Attributes:
        title: "TensorRT-RTX 1.7.1.116".
        dtypes: of each input and output, in the order of the graph.

    Raises:
        ModelError: something does not fit, or TensorRT cannot load the file.
        DependencyError: the TensorRT that it needs is not installed.
    """

    def __init__(self, path: Path, manifest: Manifest, gpu: Gpu) -> None:
        self.path = path
        check_gpu(path, manifest, gpu.compute_capability, gpu.name)
        self._trt = import_tensorrt(path, manifest)
        self.title = f"{FLAVOR_NAMES[manifest.build.builder]} {self._trt.__version__}"
        with _REGISTRATION:
            self._log = _log_of(self._trt)
            runtime = self._make_runtime(manifest)
            self._register_plugins(manifest, runtime, gpu)
        check_engine_files(path, manifest)
        self._log.take()
        self._engine = runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise self.refusal("cannot load this engine")
        self.dtypes = self._check_tensors(manifest.metadata(str(path)))
        self._lock = threading.Lock()
        self._kernel_cache: KernelCache | None = None
        self._context_config = self._make_context_config(manifest, gpu)

    def _make_runtime(self, manifest: Manifest) -> Any:
        runtime = self._trt.Runtime(self._log)
        if self._trt.__name__ != DISPATCH:
            return runtime
        library = lean_library(manifest.build.builder_version)
        self._dispatch = runtime  # has to outlive the one that it loads
        runtime = runtime.load_runtime(library)
        if runtime is None:
            raise ModelError(
                f"{self.path} cannot be loaded: TensorRT's dispatch runtime needs the lean runtime {library}, which it "
                f'cannot open. Install it: `pip install "tensorrt-lean=={manifest.build.builder_version}"`.'
            )
        return runtime

    def _register_plugins(self, manifest: Manifest, runtime: Any, gpu: Gpu) -> None:
        trt: Any = self._trt
        if trt.__name__ == DISPATCH:  # each lean runtime that it loads has a registry of its own
            registry = runtime.get_plugin_registry()
            trt = SimpleNamespace(
                __name__=trt.__name__, __version__=trt.__version__, get_plugin_registry=lambda: registry
            )
        try:
            library = plugin_library()
            check_plugins(self.path, manifest, library.version)
            check_driver(library, gpu.driver_version)
            load_plugins(trt)
        except PluginLibraryError as error:
            raise ModelError(f"{self.path} cannot be loaded without its plugins: {error}") from None

    def _check_tensors(self, metadata: ModelMetadata) -> dict[str, np.dtype]:
        """Return the type of each tensor, after checking that these are the tensors of a maskrt model."""
        engine, trt = self._engine, self._trt
        inputs: dict[str, np.dtype] = {}
        outputs: dict[str, np.dtype] = {}
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            tensors = inputs if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT else outputs
            tensors[name] = np.dtype(trt.nptype(engine.get_tensor_dtype(name)))
        found = {**inputs, **outputs}
        if not is_maskrt_model(metadata, inputs, outputs):
            names = ", ".join(f"{name} ({dtype})" for name, dtype in sorted(found.items()))
            raise ModelError(
                f"{self.path} is not the engine of a maskrt model: its inputs and outputs are {names}. Build it again "
                "with `maskrt engine`."
            )
        return {name: found[name] for name in (*INPUTS, *output_names(metadata))}

    def _make_context_config(self, manifest: Manifest, gpu: Gpu) -> Any:
        """Return what contexts are made with: they get their scratch memory from us, see `worker`.

        TensorRT-RTX compiles its kernels on the device. EAGER compiles the ones for a shape in its first run; LAZY
        would swap them in behind a CUDA graph that was captured with others. The runtime cache is shared, so that the
        second thread finds what the first compiled, and the next process what this one did.
        """
        trt = self._trt
        strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if not hasattr(trt, "DynamicShapesKernelSpecializationStrategy"):
            return strategy
        config = self._engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(strategy)
        config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        runtime_cache = config.create_runtime_cache()
        files = [file.sha256 for file in manifest.files.values()]
        key = (*files, trt.__version__, gpu.name, gpu.compute_capability, gpu.driver_version)
        self._kernel_cache = KernelCache(self.path, key, runtime_cache)
        config.set_runtime_cache(runtime_cache)
        return config

    def keep_kernels(self) -> None:
        """Keep what was compiled so far for the next process; where the engine holds its kernels, there is nothing."""
        if self._kernel_cache is not None:
            self._kernel_cache.save()

    def create_context(self) -> Any:
        """Return a new execution context, without scratch memory.

        Raises:
            ModelError: TensorRT refuses.
        """
        with self._lock:
            context = self._engine.create_execution_context(self._context_config)
        if context is None:
            raise self.refusal("cannot make an execution context")
        return context

    def refusal(self, what: str) -> ModelError:
        """Return the error for what TensorRT refused, with the reason that it logged."""
        reason = self._log.take() or "it gives no reason"
        if any(words in reason.lower() for words in ("out of memory", "outofmemory", "could not be allocated")):
            return ModelError(
                f"{self.path}: {self.title} {what}, because there is too little GPU memory ({reason}). Close other "
                "programs that use the GPU, use a smaller batch, or build the engine with a smaller --max."
            )
        return ModelError(
            f"{self.path}: {self.title} {what}: {reason}. If this happens again, build the engine again with "
            "`maskrt engine`."
        )


@cache
def _log_of(trt: ModuleType) -> Any:
    """Return the log of a TensorRT module: it keeps errors for messages, and prints nothing.

    TensorRT keeps the first one that it is given for good, so there is one in a process.
    """

    class Log(trt.ILogger):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self._errors: deque[str] = deque(maxlen=20)

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self._errors.append(message)

        def take(self) -> str:
            """Return the first error since the last call, which is the cause of the others."""
            errors = list(self._errors)
            self._errors.clear()
            return " ".join(errors[0].split()).rstrip(".") if errors else ""

    return Log()
