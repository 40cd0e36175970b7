"""A thin, checked layer over the CUDA runtime API: one GPU, its memory, streams and graphs.

Every call's error code is looked at and becomes a `CudaError`. What is allocated is freed when the Python object is
collected. NVIDIA's `cuda-bindings` is imported when a GPU is opened.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from maskrt.errors import DependencyError, ModelError
from maskrt.plugins.loader import cuda_version


class CudaError(RuntimeError):
    """A CUDA call failed; `call` is the function, `name` its `cudaError_t`, for example "cudaErrorIllegalAddress"."""

    def __init__(self, call: str, name: str, text: str) -> None:
        super().__init__(f"{call}: {text} ({name})")
        self.call = call
        self.name = name


class OutOfMemory(CudaError):
    """There are not `size` free bytes of GPU memory, or of host memory that can be pinned."""

    def __init__(self, call: str, name: str, text: str, size: int) -> None:
        super().__init__(call, name, text)
        self.size = size


class Gpu:
    """The CUDA device that is current in the calling thread.

    Attributes:
        index: its ordinal.
        name: for example "NVIDIA L4".
        compute_capability: for example "8.9".
        driver_version: the newest CUDA that the driver supports, for example 12040.

    Raises:
        DependencyError: cuda-bindings is not installed.
        ModelError: there is no driver or no GPU, or the driver is too old.
    """

    def __init__(self) -> None:
        try:
            self.cudart: ModuleType = importlib.import_module("cuda.bindings.runtime")
        except ImportError as error:
            raise DependencyError(
                f"Engines need NVIDIA's cuda-bindings, which cannot be imported ({error}). Install them: "
                '`pip install cuda-bindings`, or with a driver for CUDA 12 `pip install "cuda-bindings<13"`.'
            ) from None
        self._check_driver()
        self.driver_version = int(self.call("cudaDriverGetVersion"))
        self.index = int(self.call("cudaGetDevice"))
        self.name: str = self.call("cudaGetDeviceProperties", self.index).name.decode(errors="replace")
        attribute = self.cudart.cudaDeviceAttr
        major = self.call("cudaDeviceGetAttribute", attribute.cudaDevAttrComputeCapabilityMajor, self.index)
        minor = self.call("cudaDeviceGetAttribute", attribute.cudaDevAttrComputeCapabilityMinor, self.index)
        self.compute_capability = f"{major}.{minor}"

    def _check_driver(self) -> None:
        error, count = self.cudart.cudaGetDeviceCount()
        if error.name == "cudaErrorInsufficientDriver":  # also where there is none at all
            driver, needed = self.call("cudaDriverGetVersion"), self.call("cudaRuntimeGetVersion")
            if driver == 0:
                raise ModelError(
                    "An engine runs on an NVIDIA GPU, but this machine has no NVIDIA driver. Install it, or run the "
                    "ONNX file, which needs no GPU."
                )
            raise ModelError(
                f"The NVIDIA driver is too old: it supports CUDA {cuda_version(driver)}, but the installed "
                f"cuda-bindings need {cuda_version(needed)}. Update the driver, or install the bindings of its "
                "version: "
                f'`pip install "cuda-bindings<{driver // 1000 + 1}"`.'
            )
        if error.name == "cudaErrorNoDevice" or (error.name == "cudaSuccess" and count == 0):
            visible = os.environ.get("CUDA_VISIBLE_DEVICES")
            hint = "" if visible is None else f" (CUDA_VISIBLE_DEVICES is {visible!r})"
            raise ModelError(
                f"An engine runs on an NVIDIA GPU, but the driver finds none on this machine{hint}. Run the ONNX file, "
                "which needs no GPU."
            )
        if error.name != "cudaSuccess":
            raise ModelError(f"The NVIDIA driver does not work: {self._error('cudaGetDeviceCount', error)}.")

    def call(self, name: str, *arguments: Any, size: int = 0) -> Any:
        """Call a function of the CUDA runtime API; its result without the error code, None if there is no other.

        Args:
            name: of the function.
            size: for an allocation, its bytes, for the message.

        Raises:
            OutOfMemory, CudaError: it failed.
        """
        error, *results = getattr(self.cudart, name)(*arguments)
        if error.name != "cudaSuccess":
            raise self._error(name, error, size)
        return results[0] if results else None

    def _error(self, call: str, error: Any, size: int = 0) -> CudaError:
        text = self.cudart.cudaGetErrorString(error)[1].decode(errors="replace")
        self.cudart.cudaGetLastError()  # else the next library to ask takes this error for its own
        if error.name == "cudaErrorMemoryAllocation":
            return OutOfMemory(call, error.name, text, size)
        return CudaError(call, error.name, text)

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Make this the calling thread's device, and bring back the one before."""
        before = int(self.call("cudaGetDevice"))
        if before == self.index:
            yield
            return
        self.call("cudaSetDevice", self.index)
        try:
            yield
        finally:
            self.call("cudaSetDevice", before)

    def free_memory(self) -> tuple[int, int]:
        """Return free and total bytes of GPU memory; (0, 0) where the device does not say."""
        error, *sizes = self.cudart.cudaMemGetInfo()
        return (int(sizes[0]), int(sizes[1])) if error.name == "cudaSuccess" else (0, 0)

    def device_of(self, address: int) -> int | None:
        """Return the ordinal of the GPU in whose memory `address` lies, managed memory included; None: in no GPU's."""
        attributes = self.call("cudaPointerGetAttributes", address)
        if attributes.type.name not in ("cudaMemoryTypeDevice", "cudaMemoryTypeManaged"):
            return None
        return int(attributes.device)

    def release(self, owner: object, name: str, handle: Any) -> None:
        """Call the function `name` with a handle when `owner` is collected.

        Errors are dropped: what fails then is a device that failed before. At the end of the process the driver frees
        all; to do it before would take pinned memory from under daemon threads that are still at work.
        """
        weakref.finalize(owner, getattr(self.cudart, name), handle).atexit = False


class DeviceMemory:
    """`size` bytes of GPU memory at `address`, a multiple of 256."""

    def __init__(self, gpu: Gpu, size: int) -> None:
        self.size = size
        self.address = int(gpu.call("cudaMalloc", size, size=size))
        gpu.release(self, "cudaFree", self.address)


class PinnedMemory:
    """`size` bytes of host memory that the GPU copies from and to by itself; `bytes` is a uint8 view of them."""

    def __init__(self, gpu: Gpu, size: int) -> None:
        self.size = size
        self.address = int(gpu.call("cudaMallocHost", size, size=size))
        gpu.release(self, "cudaFreeHost", self.address)
        self.bytes: np.ndarray = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(self.address))


class Stream:
    """A queue of GPU work that runs beside every other one; `handle` is its cudaStream_t."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        stream = gpu.call("cudaStreamCreateWithFlags", gpu.cudart.cudaStreamNonBlocking)
        gpu.release(self, "cudaStreamDestroy", stream)
        self.handle = int(stream)
        self._event = gpu.call("cudaEventCreateWithFlags", gpu.cudart.cudaEventDisableTiming)
        gpu.release(self, "cudaEventDestroy", self._event)

    def copy_to_device(self, target: int, source: int, size: int) -> None:
        """Queue a copy of `size` bytes from pinned host memory to the GPU; both are addresses."""
        kind = self._gpu.cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._gpu.call("cudaMemcpyAsync", target, source, size, kind, self.handle)

    def copy_to_host(self, target: int, source: int, size: int) -> None:
        """Queue a copy of `size` bytes from the GPU to pinned host memory; both are addresses."""
        kind = self._gpu.cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._gpu.call("cudaMemcpyAsync", target, source, size, kind, self.handle)

    def copy_on_device(self, target: int, source: int, size: int) -> None:
        """Queue a copy of `size` bytes within the GPU's memory; both are addresses."""
        kind = self._gpu.cudart.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        self._gpu.call("cudaMemcpyAsync", target, source, size, kind, self.handle)

    def wait_for(self, stream: int) -> None:
        """Let what is queued from now on wait for what is queued on another stream (a cudaStream_t) so far."""
        self._gpu.call("cudaEventRecord", self._event, stream)
        self._gpu.call("cudaStreamWaitEvent", self.handle, self._event, 0)

    def synchronize(self) -> None:
        """Wait until all that is queued has run."""
        self._gpu.call("cudaStreamSynchronize", self.handle)

    def capture(self, queue_work: Callable[[], None]) -> Graph:
        """Capture what `queue_work` queues on this stream, as a graph. Nothing of it runs.

        Raises:
            CudaError: something in it cannot be captured. The stream is as before.
        """
        # Thread-local: other threads may allocate meanwhile, which would break a capture in global mode.
        mode = self._gpu.cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        with _no_garbage_collection():
            self._gpu.call("cudaStreamBeginCapture", self.handle, mode)
            try:
                queue_work()
            except BaseException:
                with contextlib.suppress(CudaError):  # the first error is the one to tell
                    self._gpu.call("cudaGraphDestroy", self._gpu.call("cudaStreamEndCapture", self.handle))
                raise
            graph = self._gpu.call("cudaStreamEndCapture", self.handle)
        try:
            return Graph(self._gpu, graph)
        finally:
            self._gpu.call("cudaGraphDestroy", graph)


class Graph:
    """A captured sequence of GPU work, launched as one."""

    def __init__(self, gpu: Gpu, graph: Any) -> None:
        self._gpu = gpu
        self._executable = gpu.call("cudaGraphInstantiate", graph, 0)
        gpu.release(self, "cudaGraphExecDestroy", self._executable)

    def launch(self, stream: Stream) -> None:
        """Queue it on a stream."""
        self._gpu.call("cudaGraphLaunch", self._executable, stream.handle)


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Garbage may own GPU memory: to free it in the thread that captures fails, and breaks the capture."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
