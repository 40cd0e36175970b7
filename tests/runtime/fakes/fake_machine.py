"""The state of the fake machine: its GPUs, what is in memory, and what is queued; and the types of the fake API."""

from __future__ import annotations

import contextlib
import enum
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np


class Misuse(AssertionError):
    """The code under test did what is undefined behaviour, or a crash, on a real GPU."""


class cudaError_t(enum.Enum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35
    cudaErrorNoDevice = 100
    cudaErrorIllegalAddress = 700
    cudaErrorStreamCaptureUnsupported = 900
    cudaErrorStreamCaptureInvalidated = 901


class cudaMemcpyKind(enum.Enum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2
    cudaMemcpyDeviceToDevice = 3


class cudaStreamCaptureMode(enum.Enum):
    cudaStreamCaptureModeGlobal = 0
    cudaStreamCaptureModeThreadLocal = 1


class cudaDeviceAttr(enum.Enum):
    cudaDevAttrComputeCapabilityMajor = 75
    cudaDevAttrComputeCapabilityMinor = 76


class cudaMemoryType(enum.Enum):
    cudaMemoryTypeUnregistered = 0
    cudaMemoryTypeHost = 1
    cudaMemoryTypeDevice = 2
    cudaMemoryTypeManaged = 3


OK = cudaError_t.cudaSuccess
LEGACY_DEFAULT_STREAM = 1


@dataclass
class Memory:
    """An allocation; freed ones stay known, so that their use is noticed."""

    kind: cudaMemoryType
    bytes: np.ndarray
    address: int
    device: int
    live: bool = True


@dataclass
class Operation:
    """A piece of queued work. `check` says whether it still may run when a graph that holds it is launched."""

    name: str
    work: Callable[[], None]
    check: Callable[[], None] = lambda: None


@dataclass
class FakeStream:
    waiting: deque[Operation] = field(default_factory=deque)
    queued: int = 0
    done: int = 0
    captured: list[Operation] | None = None
    capture_broken: bool = False
    capture_mode: cudaStreamCaptureMode | None = None
    capturing_thread: int = 0


class MachineState:
    """GPUs, a driver, and what is in memory and queued.

    Attributes:
        log: (what, details, ...) of every call that matters, in order.
        driver, runtime_version: CUDA versions, as 13000; driver 0 is no driver.
        gpus: name and compute capability of each.
        total: bytes of GPU memory.
        failing: names of calls that fail, with their error.
        can_capture: whether an engine's work can be captured in a graph.
    """

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.driver, self.runtime_version = 13000, 13000
        self.gpus = [("NVIDIA Fake 4090", (8, 9))]
        self.total = 1 << 30
        self.failing: dict[str, cudaError_t] = {}
        self.can_capture = True
        self.memory: list[Memory] = []
        self.streams: dict[int, FakeStream] = {LEGACY_DEFAULT_STREAM: FakeStream()}
        self.events: dict[int, tuple[FakeStream, int] | None] = {}
        self.graphs: dict[int, list[Operation]] = {}
        self.executables: dict[int, list[Operation]] = {}
        self.engines: dict[bytes, bytes] = {}  # what fake_tensorrt deserializes: engine file → ONNX file
        self.allocation_is_misuse = False
        self.current = threading.local()
        self._next_handle = 0x1000
        self.lock = threading.RLock()

    def names(self) -> list[str]:
        """The first word of each log entry."""
        return [entry[0] for entry in self.log]

    def used(self, kind: cudaMemoryType = cudaMemoryType.cudaMemoryTypeDevice) -> int:
        """Bytes in live allocations."""
        return sum(memory.bytes.size for memory in self.memory if memory.live and memory.kind is kind)

    @contextlib.contextmanager
    def no_allocation(self) -> Iterator[None]:
        """Inside, whoever allocates memory, a stream, a graph or a context is caught."""
        self.allocation_is_misuse = True
        try:
            yield
        finally:
            self.allocation_is_misuse = False

    def allocating(self, what: str) -> None:
        if self.allocation_is_misuse:
            raise Misuse(f"{what} after the warm-up")
        self.break_captures()

    def break_captures(self) -> bool:
        """A call that is not allowed during a capture; whether there is one that it breaks."""
        broken = [
            stream
            for stream in self.streams.values()
            if stream.captured is not None
            and (
                stream.capturing_thread == threading.get_ident()
                or stream.capture_mode is cudaStreamCaptureMode.cudaStreamCaptureModeGlobal
            )
        ]
        for stream in broken:
            stream.capture_broken = True
        return bool(broken)

    def read(self, address: int, size: int, kind: cudaMemoryType) -> np.ndarray:
        """The bytes at an address, which must lie in one live allocation."""
        for memory in self.memory:
            start = address - memory.address
            if 0 <= start < memory.bytes.size and memory.live:
                if start + size > memory.bytes.size:
                    raise Misuse(f"{size} bytes at {address:#x} go beyond their allocation")
                if memory.kind is not kind:
                    raise Misuse(f"{address:#x} is {memory.kind.name}, not {kind.name}")
                return memory.bytes[start : start + size]
        raise Misuse(f"{address:#x} is not allocated, or was freed")

    def device_array(self, array: np.ndarray, device: int = 0) -> int:
        """Put an array into GPU memory, as another library would; returns its address."""
        memory = self.allocate(array.nbytes, cudaMemoryType.cudaMemoryTypeDevice, device)
        memory.bytes[:] = np.ascontiguousarray(array).view(np.uint8).ravel()
        return memory.address

    def new_stream(self) -> int:
        """A stream of another library."""
        return self.new_handle(self.streams, FakeStream())

    def queue(self, stream: int, operation: Operation) -> cudaError_t:
        """Append work to a stream, or to the graph that it captures."""
        if stream not in self.streams:
            raise Misuse(f"stream {stream:#x} does not exist, or was destroyed")
        target = self.streams[stream]
        if target.captured is not None:
            target.captured.append(operation)
        else:
            target.waiting.append(operation)
            target.queued += 1
        return OK

    def run(self, stream: FakeStream, until: int | None = None) -> None:
        """Let the GPU do what is queued, up to a position."""
        until = stream.queued if until is None else until
        while stream.done < until:
            stream.done += 1
            operation = stream.waiting.popleft()
            self.log.append(("ran", operation.name))
            operation.work()

    def allocate(self, size: int, kind: cudaMemoryType, device: int) -> Memory:
        whole = np.full(size + 512, 0xDD, np.uint8)  # nothing is zero that nobody wrote
        start = -whole.ctypes.data % 512
        memory = Memory(kind, whole[start : start + size], whole.ctypes.data + start, device)
        self.memory.append(memory)
        return memory

    def new_handle(self, table: dict[int, Any], value: Any) -> int:
        with self.lock:
            self._next_handle += 1
            table[self._next_handle] = value
            return self._next_handle
