"""A machine with NVIDIA GPUs, played in host memory: what `cuda.bindings.runtime` looks like to the code under test.

Work queued on a stream waits until something synchronises, as late as a real GPU may run it, so that a missing wait, or
pinned memory that is reused too early, gives wrong results. Misuse of the API is no error code but `Misuse`, which
nothing catches. `Machine.log` has every call in order.
"""

from __future__ import annotations

import threading
import types

from fake_machine import (
    LEGACY_DEFAULT_STREAM,
    OK,
    FakeStream,
    MachineState,
    Misuse,
    Operation,
    cudaDeviceAttr,
    cudaError_t,
    cudaMemcpyKind,
    cudaMemoryType,
    cudaStreamCaptureMode,
)

__all__ = ["LEGACY_DEFAULT_STREAM", "Machine", "Misuse", "Operation", "cudaError_t", "cudaMemoryType"]


class Machine(MachineState):
    """The functions of the CUDA runtime API."""

    def cudaGetDeviceCount(self) -> tuple:
        if self.driver < self.runtime_version // 1000 * 1000:
            return cudaError_t.cudaErrorInsufficientDriver, None
        return (OK, len(self.gpus)) if self.gpus else (cudaError_t.cudaErrorNoDevice, None)

    def cudaDriverGetVersion(self) -> tuple:
        return OK, self.driver

    def cudaRuntimeGetVersion(self) -> tuple:
        return OK, self.runtime_version

    def cudaGetErrorString(self, error: cudaError_t) -> tuple:
        return OK, error.name.removeprefix("cudaError").lower().encode()

    def cudaGetLastError(self) -> tuple:
        return (OK,)

    def cudaGetDevice(self) -> tuple:
        return OK, getattr(self.current, "device", 0)

    def cudaSetDevice(self, device: int) -> tuple:
        self.current.device = device
        return (OK,)

    def cudaGetDeviceProperties(self, device: int) -> tuple:
        return OK, types.SimpleNamespace(name=self.gpus[device][0].encode())

    def cudaDeviceGetAttribute(self, attr: cudaDeviceAttr, device: int) -> tuple:
        return OK, self.gpus[device][1][attr.value - 75]

    def cudaMemGetInfo(self) -> tuple:
        return OK, self.total - self.used(), self.total

    def cudaPointerGetAttributes(self, ptr: int) -> tuple:
        for memory in self.memory:
            if 0 <= ptr - memory.address < memory.bytes.size and memory.live:
                return OK, types.SimpleNamespace(type=memory.kind, device=memory.device)
        return OK, types.SimpleNamespace(type=cudaMemoryType.cudaMemoryTypeUnregistered, device=-2)

    def cudaMalloc(self, size: int) -> tuple:
        return self._checked_allocation("cudaMalloc", size, cudaMemoryType.cudaMemoryTypeDevice)

    def cudaMallocHost(self, size: int) -> tuple:
        return self._checked_allocation("cudaMallocHost", size, cudaMemoryType.cudaMemoryTypeHost)

    def _checked_allocation(self, name: str, size: int, kind: cudaMemoryType) -> tuple:
        with self.lock:
            self.allocating(name)
            on_device = kind is cudaMemoryType.cudaMemoryTypeDevice
            if name in self.failing or (on_device and self.used() + size > self.total):
                return self.failing.get(name, cudaError_t.cudaErrorMemoryAllocation), None
            memory = self.allocate(size, kind, getattr(self.current, "device", 0))
            self.log.append((name, size, memory.address))
            return OK, memory.address

    def cudaFree(self, devPtr: int) -> tuple:
        return self._free("cudaFree", devPtr, cudaMemoryType.cudaMemoryTypeDevice)

    def cudaFreeHost(self, ptr: int) -> tuple:
        return self._free("cudaFreeHost", ptr, cudaMemoryType.cudaMemoryTypeHost)

    def _free(self, name: str, address: int, kind: cudaMemoryType) -> tuple:
        with self.lock:
            if self.break_captures():
                return (cudaError_t.cudaErrorStreamCaptureUnsupported,)
            for stream in self.streams.values():  # freeing waits for the device
                self.run(stream)
            for memory in self.memory:
                if memory.address == address and memory.live:
                    if memory.kind is not kind:
                        raise Misuse(f"{name} of {memory.kind.name}")
                    memory.live = False
                    memory.bytes[:] = 0xDD
                    self.log.append((name, memory.bytes.size, address))
                    return (OK,)
            raise Misuse(f"{name} of {address:#x}, which is not allocated")

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple:
        self.allocating("cudaStreamCreateWithFlags")
        if flags != self.module().cudaStreamNonBlocking:
            raise Misuse("a stream that waits for the default stream breaks graph captures")
        return OK, self.new_handle(self.streams, FakeStream())

    def cudaStreamDestroy(self, stream: int) -> tuple:
        self.run(self.streams.pop(stream))
        return (OK,)

    def cudaEventCreateWithFlags(self, flags: int) -> tuple:
        self.allocating("cudaEventCreateWithFlags")
        return OK, self.new_handle(self.events, None)

    def cudaEventDestroy(self, event: int) -> tuple:
        del self.events[event]
        return (OK,)

    def cudaEventRecord(self, event: int, stream: int) -> tuple:
        recorded = self.streams[stream]
        self.events[event] = (recorded, recorded.queued)
        return (OK,)

    def cudaStreamWaitEvent(self, stream: int, event: int, flags: int) -> tuple:
        recorded = self.events[event]
        assert recorded is not None
        self.log.append(("wait",))
        return (self.queue(stream, Operation("waited", lambda: self.run(*recorded))),)

    def cudaMemcpyAsync(self, dst: int, src: int, count: int, kind: cudaMemcpyKind, stream: int) -> tuple:
        host, device = cudaMemoryType.cudaMemoryTypeHost, cudaMemoryType.cudaMemoryTypeDevice
        name, *kinds = {
            cudaMemcpyKind.cudaMemcpyHostToDevice: ("to device", device, host),
            cudaMemcpyKind.cudaMemcpyDeviceToHost: ("to host", host, device),
            cudaMemcpyKind.cudaMemcpyDeviceToDevice: ("on device", device, device),
        }[kind]

        def copy() -> None:
            self.read(dst, count, kinds[0])[:] = self.read(src, count, kinds[1])

        def check() -> None:
            self.read(dst, count, kinds[0])
            self.read(src, count, kinds[1])

        with self.lock:
            check()
            self.log.append((name, count))
            return (self.queue(stream, Operation(name, copy, check)),)

    def cudaStreamSynchronize(self, stream: int) -> tuple:
        with self.lock:
            if self.streams[stream].captured is not None:
                raise Misuse("a wait for a stream that is being captured")
            self.log.append(("synchronize",))
            self.run(self.streams[stream])
            return (self.failing.get("cudaStreamSynchronize", OK),)

    def cudaStreamBeginCapture(self, stream: int, mode: cudaStreamCaptureMode) -> tuple:
        target = self.streams[stream]
        if target.captured is not None:
            raise Misuse("a capture within a capture")
        target.captured, target.capture_broken, target.capture_mode = [], False, mode
        target.capturing_thread = threading.get_ident()
        self.log.append(("begin capture",))
        return (OK,)

    def cudaStreamEndCapture(self, stream: int) -> tuple:
        target = self.streams[stream]
        operations, target.captured = target.captured, None
        self.log.append(("end capture",))
        if target.capture_broken:
            return cudaError_t.cudaErrorStreamCaptureInvalidated, None
        assert operations is not None
        return OK, self.new_handle(self.graphs, operations)

    def cudaGraphInstantiate(self, graph: int, flags: int) -> tuple:
        self.allocating("cudaGraphInstantiate")
        if "cudaGraphInstantiate" in self.failing:
            return self.failing["cudaGraphInstantiate"], None
        return OK, self.new_handle(self.executables, self.graphs[graph])

    def cudaGraphDestroy(self, graph: int) -> tuple:
        del self.graphs[graph]
        return (OK,)

    def cudaGraphExecDestroy(self, graphExec: int) -> tuple:
        for operation in self.executables.pop(graphExec):
            if operation.name == "engine":
                try:
                    operation.check()
                except Misuse as error:  # nobody would see it: this is called when an object is collected
                    self.log.append(("misuse", str(error)))
        return (OK,)

    def cudaGraphLaunch(self, graphExec: int, stream: int) -> tuple:
        with self.lock:
            self.log.append(("launch graph",))
            for operation in self.executables[graphExec]:
                operation.check()
                self.queue(stream, operation)
            return (OK,)

    def module(self) -> types.ModuleType:
        """The machine as the module `cuda.bindings.runtime`."""
        module = types.ModuleType("cuda.bindings.runtime")
        for name in dir(self):
            if name.startswith("cuda"):
                setattr(module, name, getattr(self, name))
        kinds = (cudaError_t, cudaMemcpyKind, cudaStreamCaptureMode, cudaDeviceAttr, cudaMemoryType)
        for kind in kinds:
            setattr(module, kind.__name__, kind)
        module.cudaStreamNonBlocking, module.cudaEventDisableTiming = 1, 2  # type: ignore[attr-defined]
        return module
