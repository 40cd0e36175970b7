"""Running an engine: what one call needs for it, kept for the next so that a known shape allocates nothing.

A CUDA graph holds the addresses and the state of the execution context that it was captured from, and is undefined once
that context changes. So each input shape has a context of its own, and all contexts of a worker, of which one runs at a
time, share one block of scratch memory, as NVIDIA's "Working with CUDA graphs" advises. The block is as large as the
profile's largest canvas needs at the largest batch so far, so that pictures of all sizes find room in it. TensorRT's
own allocation would be that of the profile's largest batch, for each context.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from maskrt.contract.tensors import IMAGE_SIZES, IMAGES, NMS_THRESHOLD, SCORE_THRESHOLD
from maskrt.errors import ModelError
from maskrt.runtime.backends.tensorrt.blocks import Block, Spec, aligned
from maskrt.runtime.backends.tensorrt.engine import Engine
from maskrt.runtime.backends.tensorrt.images import ImageLoader
from maskrt.runtime.cuda.arrays import DeviceArray
from maskrt.runtime.cuda.device import CudaError, DeviceMemory, Gpu, Graph, OutOfMemory, PinnedMemory, Stream
from maskrt.runtime.transforms.canvas import Frames

MAX_SHAPES = 64
"""Input shapes that a worker keeps a context and a graph for; the one that was not used for longest goes.

Photographs of all kinds, resized to 800 x 1333 and padded to multiples of 32, have about 50.
"""


class Worker:
    """A stream, memory, and an execution context per input shape. Used by one thread at a time.

    Args:
        engine: the engine.
        gpu: where it runs.
        largest: (height, width) of the profile's largest canvas.

    Attributes:
        stream: where all of its work is queued.
    """

    def __init__(self, engine: Engine, gpu: Gpu, largest: tuple[int, int]) -> None:
        self._engine = engine
        self._gpu = gpu
        self._largest = largest
        self.stream = Stream(gpu)
        self._loader = ImageLoader(gpu, self.stream)
        self._in_use: list[DeviceArray] = []
        self._device: DeviceMemory | None = None
        self._host: PinnedMemory | None = None
        self._executions: OrderedDict[tuple[int, ...], Execution] = OrderedDict()

    def run(self, feed: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Run one batch and wait for it.

        Args:
            feed: the inputs by name. `images` [B, H, W, 3] in the engine's type, on the host or on the GPU, or frames
                to be resized; the others as NumPy arrays.

        Returns:
            The engine's outputs, in memory of their own.

        Raises:
            OutOfMemory: there is too little memory.
            ModelError: TensorRT or the plugin library refuses.
            ArgumentError: an image on the GPU cannot be used.
            CudaError: the GPU failed.
        """
        images: np.ndarray | DeviceArray | Frames = feed[IMAGES]
        execution = self._execution(images.shape)
        is_first = not execution.has_run
        for name, target in execution.host_inputs.items():
            target[...] = feed[name]
        try:
            if isinstance(images, DeviceArray):  # copied, because a graph reads the images where it was captured
                self.stream.copy_on_device(execution.canvas.address, images.address, execution.canvas.size)
            elif isinstance(images, Frames):
                self._in_use = self._loader.resize(images, execution.canvas)
            else:
                self._loader.copy(images, execution.canvas)
            execution.queue(self.stream)
        finally:  # before anything else may touch the pinned memory
            self.stream.synchronize()
            self._in_use = []
        outputs = execution.copy_outputs()
        if is_first:
            self._engine.keep_kernels()
        return outputs

    def _execution(self, shape: tuple[int, ...]) -> Execution:
        execution = self._executions.get(shape)
        if execution is None:
            execution = Execution(self._engine, shape)
            execution.bind(*self._reserve(execution, shape[0]))
            self._executions[shape] = execution
            if len(self._executions) > MAX_SHAPES:
                self._executions.popitem(last=False)
        self._executions.move_to_end(shape)
        return execution

    def _reserve(self, execution: Execution, batch: int) -> tuple[DeviceMemory, PinnedMemory]:
        """Memory for an execution. Where it has to grow, the contexts that use the old one are dropped."""
        device, host = self._device, self._host
        if device is None or host is None or device.size < execution.device_size or host.size < execution.host_size:
            device = host = None
            largest = Execution(self._engine, (batch, *self._largest, 3))
            sizes = [
                (max(execution.device_size, largest.device_size), max(execution.host_size, largest.host_size)),
                (execution.device_size, execution.host_size),
            ]
            try:
                device, host = self._allocate(*sizes[0])
            except OutOfMemory:  # it may do for this canvas
                device, host = self._allocate(*sizes[1])
        return device, host

    def _allocate(self, device_size: int, host_size: int) -> tuple[DeviceMemory, PinnedMemory]:
        self._executions.clear()
        self._device = self._host = None  # freed before the larger one is asked for
        self._device = DeviceMemory(self._gpu, device_size)
        self._host = PinnedMemory(self._gpu, host_size)
        return self._device, self._host


class Execution:
    """The engine at one input shape: a context, and from the second run on a CUDA graph.

    The run before it is what TensorRT asks for: one that is not captured, after the shape was set.

    Attributes:
        has_run: whether there was that run.
        device_size: bytes of GPU memory that it needs: scratch memory, inputs, outputs.
        host_size: bytes of pinned memory: the inputs but for the images, and the outputs.
        host_inputs: these inputs, to be filled before `queue`.
        canvas: memory on the GPU for the images.
    """

    def __init__(self, engine: Engine, shape: tuple[int, ...]) -> None:
        self._engine = engine
        self._context = engine.create_context()
        columns = {IMAGE_SIZES: 2, SCORE_THRESHOLD: 1, NMS_THRESHOLD: 1}
        shapes = {**{name: (shape[0], count) for name, count in columns.items()}, IMAGES: shape}
        for name, size in shapes.items():
            if not self._context.set_input_shape(name, size):
                raise engine.refusal(f"does not take {name} of shape {list(size)}")
        try:
            complete = not self._context.infer_shapes()
        except RuntimeError:  # a negative dimension, for example; the log says where
            complete = False
        if not complete:
            raise engine.refusal(f"cannot run images of shape {list(shape)}")
        specs = {
            name: Spec(dtype, tuple(shapes.get(name) or self._context.get_tensor_shape(name)))
            for name, dtype in engine.dtypes.items()
        }
        self._images = specs.pop(IMAGES)
        self._inputs = Block({name: specs.pop(name) for name in shapes if name != IMAGES})
        self._outputs = Block(specs)
        self._scratch_size = aligned(self._context.update_device_memory_size_for_shapes())
        self.host_size = self._inputs.size + self._outputs.size
        self.device_size = self._scratch_size + self.host_size + self._images.size
        self.host_inputs: dict[str, np.ndarray] = {}
        self.has_run = False
        self._graph: Graph | None = None
        self._can_be_captured = True

    def __del__(self) -> None:
        self._graph = None  # before the context that it was captured from

    def bind(self, device: DeviceMemory, host: PinnedMemory) -> None:
        """Settle where everything lies. Called once."""
        self._host = host
        self.host_inputs = self._inputs.views(host.bytes[: self._inputs.size])
        self._device_inputs = device.address + self._scratch_size
        self._device_outputs = self._device_inputs + self._inputs.size
        self.canvas = DeviceArray(self._device_outputs + self._outputs.size, self._images.dtype, self._images.shape)
        if self._scratch_size:
            self._context.set_device_memory(device.address, self._scratch_size)
        self._set_address(IMAGES, self.canvas.address)
        for block, start in ((self._inputs, self._device_inputs), (self._outputs, self._device_outputs)):
            for name, offset in block.offsets.items():
                self._set_address(name, start + offset)

    def queue(self, stream: Stream) -> None:
        """Queue the engine, and the copies of its outputs and its inputs but for the images.

        Raises:
            ModelError: TensorRT refuses.
            CudaError: the GPU failed.
        """
        if self.has_run and self._graph is None and self._can_be_captured:
            self._graph = self._capture(stream)
        if self._graph is None:
            self.has_run = False  # until this run is queued
            self._queue_one_by_one(stream)
            self.has_run = True
        else:
            self._graph.launch(stream)

    def copy_outputs(self) -> dict[str, np.ndarray]:
        """Return the outputs of the last run, once its stream is done."""
        return self._outputs.views(self._host.bytes[self._inputs.size :][: self._outputs.size].copy())

    def _queue_one_by_one(self, stream: Stream) -> None:
        stream.copy_to_device(self._device_inputs, self._host.address, self._inputs.size)
        if not self._context.execute_async_v3(stream.handle):
            raise self._engine.refusal("failed to run")
        # All K rows: to copy only those in use, their number would have to come first, and waiting for it takes longer.
        stream.copy_to_host(self._host.address + self._inputs.size, self._device_outputs, self._outputs.size)

    def _capture(self, stream: Stream) -> Graph | None:
        try:
            # TensorRT-RTX says so beforehand; TensorRT fails.
            if getattr(self._context, "is_stream_capturable", lambda _: True)(stream.handle):
                return stream.capture(lambda: self._queue_one_by_one(stream))
        except (CudaError, ModelError):
            pass
        self._can_be_captured = False
        warnings.warn(
            f"{self._engine.path} cannot be captured in a CUDA graph. Its kernels are launched one by one, which is "
            "slower.",
            RuntimeWarning,
            stacklevel=2,
        )
        return None

    def _set_address(self, name: str, address: int) -> None:
        if not self._context.set_tensor_address(name, address):
            raise self._engine.refusal(f"does not take {name} at address {address:#x}")
