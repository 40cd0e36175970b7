"""The layer over the CUDA runtime API, on the fake machine; and the fake machine against the real API's signatures."""

from __future__ import annotations

import ctypes
import gc
import inspect
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from maskrt.runtime import ModelError
from maskrt.runtime.cuda.device import CudaError, DeviceMemory, Gpu, OutOfMemory, PinnedMemory, Stream


@pytest.fixture
def gpu(machine: Any) -> Gpu:
    return Gpu()


def allocate(gpu: Gpu) -> None:
    """What no capture allows."""
    DeviceMemory(gpu, 4)


def test_the_gpu(gpu: Gpu, machine: Any) -> None:
    assert (gpu.index, gpu.name, gpu.compute_capability) == (0, "NVIDIA Fake 4090", "8.9")
    machine.gpus.append(("NVIDIA Other", (12, 0)))
    machine.cudaSetDevice(1)
    assert (Gpu().index, Gpu().name, Gpu().compute_capability) == (1, "NVIDIA Other", "12.0")
    assert gpu.free_memory() == (machine.total, machine.total)


def test_a_driver_that_does_not_work(machine: Any, fake_cuda: ModuleType) -> None:
    sys.modules["cuda.bindings.runtime"].cudaGetDeviceCount = lambda: (fake_cuda.cudaError_t(700), None)  # type: ignore[attr-defined]
    with pytest.raises(
        ModelError, match=r"driver does not work: cudaGetDeviceCount: illegaladdress \(cudaErrorIllegal"
    ):
        Gpu()


def test_copies_and_their_order(gpu: Gpu) -> None:
    stream, device = Stream(gpu), DeviceMemory(gpu, 8)
    source, target = PinnedMemory(gpu, 8), PinnedMemory(gpu, 8)
    source.bytes[:] = range(8)
    stream.copy_to_device(device.address, source.address, 8)
    stream.copy_to_host(target.address + 2, device.address, 5)
    assert target.bytes[2] != 0  # nothing has run yet
    stream.synchronize()
    assert target.bytes[2:7].tolist() == [0, 1, 2, 3, 4]
    assert device.address % 256 == 0


def test_memory_is_freed_with_its_object(gpu: Gpu, machine: Any) -> None:
    memory = DeviceMemory(gpu, 100), PinnedMemory(gpu, 50), Stream(gpu)
    assert machine.used() == 100
    del memory
    gc.collect()
    assert machine.used() == 0
    assert sorted(name for name in machine.names() if "Free" in name) == ["cudaFree", "cudaFreeHost"]
    assert len(machine.streams) == 1


def test_nothing_is_freed_at_the_end_of_the_process() -> None:
    """A thread may still be at work there, on pinned memory that must not vanish under it."""
    result = subprocess.run(
        [sys.executable, "-c", END_OF_PROCESS, str(Path(__file__).parents[1] / "fakes")],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert result.stdout.splitlines() == ["cudaMalloc", "cudaMallocHost"]


END_OF_PROCESS = """
import atexit, sys
from types import ModuleType
sys.path.insert(0, sys.argv[1])
from fake_cuda import Machine
machine = Machine()
atexit.register(lambda: print(*machine.names(), sep="\\n"))  # the first to be registered is the last to be called
sys.modules.update({"cuda": ModuleType("cuda"), "cuda.bindings": ModuleType("cuda.bindings")})
sys.modules["cuda.bindings.runtime"] = machine.module()
from maskrt.runtime.cuda.device import DeviceMemory, Gpu, PinnedMemory
gpu = Gpu()
kept = DeviceMemory(gpu, 8), PinnedMemory(gpu, 8)
"""


def test_out_of_memory(gpu: Gpu, machine: Any) -> None:
    with pytest.raises(OutOfMemory, match=r"cudaMalloc: memoryallocation") as caught:
        DeviceMemory(gpu, machine.total + 1)
    assert (caught.value.call, caught.value.size) == ("cudaMalloc", machine.total + 1)


def test_where_an_address_lies(gpu: Gpu, machine: Any) -> None:
    buffer = ctypes.create_string_buffer(10)
    machine.gpus.append(("NVIDIA Other", (8, 9)))
    machine.cudaSetDevice(1)
    other = DeviceMemory(gpu, 10)
    assert gpu.device_of(other.address + 9) == 1
    assert gpu.device_of(PinnedMemory(gpu, 10).address) is None
    assert gpu.device_of(ctypes.addressof(buffer)) is None
    with gpu.current():
        assert machine.cudaGetDevice()[1] == 0
    assert machine.cudaGetDevice()[1] == 1


def test_a_graph_runs_what_was_captured(gpu: Gpu, machine: Any) -> None:
    stream, device = Stream(gpu), DeviceMemory(gpu, 4)
    source, target = PinnedMemory(gpu, 4), PinnedMemory(gpu, 4)
    target.bytes[:] = 0

    def queue() -> None:
        stream.copy_to_device(device.address, source.address, 4)
        stream.copy_to_host(target.address, device.address, 4)

    graph = stream.capture(queue)
    assert not machine.graphs  # only what can be launched is kept
    stream.synchronize()
    assert not target.bytes.any()
    for value in (1, 2):
        source.bytes[:] = value
        graph.launch(stream)
        stream.synchronize()
        assert (target.bytes == value).all()


def test_a_capture_that_fails_leaves_the_stream_usable(gpu: Gpu, machine: Any) -> None:
    stream = Stream(gpu)

    def give_up() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        stream.capture(give_up)
    with pytest.raises(CudaError, match="cudaStreamEndCapture") as caught:
        stream.capture(lambda: allocate(gpu))
    assert caught.value.name == "cudaErrorStreamCaptureInvalidated"
    assert not machine.graphs
    stream.capture(lambda: None).launch(stream)
    stream.synchronize()


def test_garbage_is_not_collected_during_a_capture(gpu: Gpu, machine: Any) -> None:
    """It may own GPU memory, which cannot be freed then."""
    stream, memory = Stream(gpu), [DeviceMemory(gpu, 100)]

    def leave_garbage() -> None:
        cycle: list[object] = [memory.pop()]
        cycle.append(cycle)
        del cycle
        _ = [[] for _ in range(99)]

    threshold = gc.get_threshold()
    gc.set_threshold(1, 1)  # a collection at every second list that is made
    try:
        stream.capture(leave_garbage)
    finally:
        gc.set_threshold(*threshold)
    assert gc.isenabled()
    gc.collect()
    assert machine.used() == 0


def test_another_thread_may_allocate_during_a_capture(gpu: Gpu) -> None:
    stream, kept = Stream(gpu), []

    def allocate_elsewhere() -> None:
        thread = threading.Thread(target=lambda: kept.append(DeviceMemory(gpu, 4)))
        thread.start()
        thread.join()

    stream.capture(allocate_elsewhere)
    assert kept


def test_waiting_for_another_stream(gpu: Gpu, machine: Any, fake_cuda: ModuleType) -> None:
    stream, order = Stream(gpu), []
    other = machine.new_stream()
    machine.queue(other, fake_cuda.Operation("before", lambda: order.append("before")))
    stream.wait_for(other)
    machine.queue(stream.handle, fake_cuda.Operation("mine", lambda: order.append("mine")))
    machine.queue(other, fake_cuda.Operation("later", lambda: order.append("later")))
    stream.synchronize()
    assert order == ["before", "mine"]


def test_the_fake_has_the_signatures_of_the_real_api(fake_cuda: ModuleType) -> None:
    """Names and number of arguments; cuda-bindings states them in the first line of its documentation."""
    real = pytest.importorskip("cuda.bindings.runtime")
    module = fake_cuda.Machine().module()
    for name, value in vars(module).items():
        if inspect.isroutine(value):
            first_line = getattr(real, name).__doc__.splitlines()[0]
            given = re.fullmatch(rf"{name}\((.*)\)", first_line)
            assert given is not None, first_line
            expected = [argument for argument in given[1].split(", ") if argument]
            assert len(inspect.signature(value).parameters) == len(expected), first_line
        elif isinstance(value, type):
            members = {member.name: member.value for member in value}
            assert members == {member: int(getattr(getattr(real, name), member)) for member in members}
    assert (real.cudaStreamNonBlocking, real.cudaEventDisableTiming) == (1, 2)


def test_this_machine() -> None:
    """The real cuda-bindings: a GPU, or the sentence that says why there is none."""
    pytest.importorskip("cuda.bindings.runtime")
    try:
        gpu = Gpu()
    except ModelError as error:
        assert re.search(r"no NVIDIA driver|driver is too old|driver finds none", str(error))
    else:
        assert re.fullmatch(r"\d+\.\d", gpu.compute_capability)


@pytest.mark.gpu
def test_real_copies_graphs_and_events() -> None:
    import torch

    gpu = Gpu()
    assert gpu.name == torch.cuda.get_device_name()
    assert gpu.compute_capability == "{}.{}".format(*torch.cuda.get_device_capability())
    stream, device = Stream(gpu), DeviceMemory(gpu, 1 << 20)
    source, target = PinnedMemory(gpu, 1 << 20), PinnedMemory(gpu, 1 << 20)
    assert device.address % 256 == 0
    assert gpu.device_of(device.address) == gpu.index
    assert gpu.device_of(source.address) is None

    def queue() -> None:
        stream.copy_to_device(device.address, source.address, 1 << 20)
        stream.copy_to_host(target.address, device.address, 1 << 20)

    graph = stream.capture(queue)
    for value in (1, 2):
        source.bytes[:] = value
        stream.wait_for(1)
        graph.launch(stream)
        stream.synchronize()
        assert (target.bytes == value).all()
    with pytest.raises(CudaError):
        stream.capture(lambda: allocate(gpu))
    queue()
    stream.synchronize()
    with pytest.raises(OutOfMemory):
        DeviceMemory(gpu, 1 << 50)
