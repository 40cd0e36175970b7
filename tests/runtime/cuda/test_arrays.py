"""Arrays on the GPU, by both protocols: on a fake machine, and from the libraries themselves where there is a GPU."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from maskrt.runtime import ArgumentError
from maskrt.runtime.cuda.arrays import DeviceArray, check_contiguous, is_device_array, open_device_array
from maskrt.runtime.cuda.device import Gpu, Stream


class DlpackArray:
    """A NumPy array that says through DLPack that it lies on a GPU; `stream` is what it was asked to order."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.stream = array, 0

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __dlpack__(self, *, stream: int) -> Any:
        self.stream = stream
        return self.array.__dlpack__()


def interface_array(address: int, shape: tuple[int, ...], dtype: str = "|u1", **fields: Any) -> SimpleNamespace:
    interface = {"data": (address, False), "shape": shape, "typestr": dtype, "version": 3, **fields}
    return SimpleNamespace(__cuda_array_interface__=interface)


@pytest.fixture
def gpu(machine: Any) -> Gpu:
    return Gpu()


@pytest.fixture
def stream(gpu: Gpu) -> Stream:
    return Stream(gpu)


def open_tensor(array: Any, gpu: Gpu, stream: Stream) -> DeviceArray:
    """Open an array that TensorRT shall read."""
    opened = open_device_array(array, gpu, stream)
    check_contiguous(opened)
    return opened


def in_gpu_memory(machine: Any, array: np.ndarray) -> np.ndarray:
    """A NumPy array on the memory of the fake GPU."""
    machine.device_array(array)
    return machine.memory[-1].bytes.view(array.dtype).reshape(array.shape)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_dlpack(machine: Any, gpu: Gpu, stream: Stream, dtype: type) -> None:
    array = in_gpu_memory(machine, np.arange(2 * 4 * 5 * 3, dtype=dtype).reshape(2, 4, 5, 3))
    given = DlpackArray(array)
    opened = open_tensor(given, gpu, stream)
    assert (opened.address, opened.dtype, opened.shape) == (array.ctypes.data, array.dtype, (2, 4, 5, 3))
    assert given.stream == stream.handle


def test_dlpack_with_an_offset(machine: Any, gpu: Gpu, stream: Stream) -> None:
    """Some libraries give the address of their memory pool, and where in it the array begins."""
    from maskrt.runtime.cuda.arrays import _capsule_pointer, _DLTensor

    array = in_gpu_memory(machine, np.zeros((1, 4, 5, 3), np.uint8))

    class Pooled(DlpackArray):
        def __dlpack__(self, *, stream: int) -> Any:
            capsule = self.array.__dlpack__()
            tensor = _DLTensor.from_address(_capsule_pointer(capsule, b"dltensor"))
            tensor.data, tensor.byte_offset = tensor.data - 4096, 4096
            return capsule

    assert open_tensor(Pooled(array), gpu, stream).address == array.ctypes.data


def test_interface(machine: Any, gpu: Gpu, stream: Stream) -> None:
    address = machine.device_array(np.zeros(600, np.uint8))
    for fields in ({}, {"strides": None}, {"strides": (60, 15, 3, 1)}, {"stream": machine.new_stream()}):
        opened = open_tensor(interface_array(address, (10, 4, 5, 3), **fields), gpu, stream)
        assert (opened.address, opened.dtype, opened.shape) == (address, np.uint8, (10, 4, 5, 3))
    opened = open_tensor(interface_array(address, (1, 4, 5, 3), strides=(999, 15, 3, 1)), gpu, stream)
    assert opened.shape == (1, 4, 5, 3)  # the stride of an axis of length 1 does not matter


def test_what_is_on_a_gpu() -> None:
    import torch

    assert not is_device_array(np.zeros(3))
    assert not is_device_array(torch.zeros(3))
    assert not is_device_array(torch.zeros(3, requires_grad=True))
    assert not is_device_array([1, 2])
    assert is_device_array(DlpackArray(np.zeros(3)))
    assert is_device_array(interface_array(0, (1,)))


@pytest.mark.parametrize("axes", [(0, 2, 1, 3), (0, 3, 1, 2)])
def test_other_orders_of_axes(machine: Any, gpu: Gpu, stream: Stream, axes: tuple[int, ...]) -> None:
    array = in_gpu_memory(machine, np.zeros((1, 4, 5, 3), np.float32)).transpose(axes)
    other = interface_array(array.ctypes.data, array.shape, "<f4", strides=array.strides)
    for given in (DlpackArray(array), other):
        opened = open_device_array(given, gpu, stream)
        assert opened.strides == array.strides
        with pytest.raises(ArgumentError, match=r"must be contiguous, but have gaps or another order.*contiguous\(\)"):
            check_contiguous(opened)


def test_every_second_row(machine: Any, gpu: Gpu, stream: Stream) -> None:
    array = in_gpu_memory(machine, np.zeros((1, 8, 5, 3), np.uint8))[:, ::2]
    with pytest.raises(ArgumentError, match="must be contiguous"):
        open_tensor(DlpackArray(array), gpu, stream)


def test_memory_elsewhere(machine: Any, gpu: Gpu, stream: Stream) -> None:
    with pytest.raises(ArgumentError, match="lie on no GPU, but the engine runs on GPU 0"):
        open_device_array(DlpackArray(np.zeros((1, 4, 5, 3), np.uint8)), gpu, stream)
    address = machine.device_array(np.zeros(60, np.uint8), device=1)
    with pytest.raises(ArgumentError, match="lie on GPU 1, but the engine runs on GPU 0"):
        open_device_array(interface_array(address, (1, 4, 5, 3)), gpu, stream)
    assert "wait" not in machine.names()  # for a stream of the other GPU, which is an error


def test_dlpack_on_another_gpu_is_not_asked_for(gpu: Gpu, stream: Stream) -> None:
    """torch refuses to hand out memory of a GPU that is not the current one."""

    class Elsewhere(DlpackArray):
        def __dlpack_device__(self) -> tuple[int, int]:
            return 2, 1

        def __dlpack__(self, *, stream: int) -> Any:
            raise BufferError("Can't export tensors on a different CUDA device index.")

    with pytest.raises(ArgumentError, match="lie on GPU 1, but the engine runs on GPU 0"):
        open_device_array(Elsewhere(np.zeros(3)), gpu, stream)


def test_part_of_a_larger_array(machine: Any, gpu: Gpu, stream: Stream) -> None:
    array = in_gpu_memory(machine, np.zeros((2, 4, 5, 3), np.uint8))
    assert open_tensor(DlpackArray(array[1:]), gpu, stream).address % 256 != 0


def test_types_that_the_engine_does_not_take(machine: Any, gpu: Gpu, stream: Stream) -> None:
    array = in_gpu_memory(machine, np.zeros((1, 4, 5, 3), np.float16))
    with pytest.raises(ArgumentError, match=r"must be uint8 or float32, but their DLPack type is \(2, 16 bits"):
        open_device_array(DlpackArray(array), gpu, stream)


def test_a_library_that_hands_nothing_out(gpu: Gpu, stream: Stream) -> None:
    class Unwilling(DlpackArray):
        def __dlpack__(self, *, stream: int) -> Any:
            raise BufferError("Can't export tensors that require gradient")

    with pytest.raises(ArgumentError, match=r"cannot be taken over from .*require gradient"):
        open_device_array(Unwilling(np.zeros(3)), gpu, stream)


def test_dlpack_memory_lives_as_long_as_the_opened_array(machine: Any, gpu: Gpu, stream: Stream) -> None:
    import sys

    array = in_gpu_memory(machine, np.zeros((1, 4, 5, 3), np.uint8))
    before = sys.getrefcount(array)
    opened = open_device_array(DlpackArray(array), gpu, stream)
    assert sys.getrefcount(array) > before
    del opened
    assert sys.getrefcount(array) == before


@pytest.mark.gpu
@pytest.mark.parametrize("library", ["torch", "cupy", "pycuda.gpuarray"])
def test_real_arrays(library: str) -> None:
    module = pytest.importorskip(library)
    if library.startswith("pycuda"):
        pytest.importorskip("pycuda.autoprimaryctx")
    values = np.arange(2 * 32 * 32 * 3, dtype=np.uint8).reshape(2, 32, 32, 3)
    make = {"torch": lambda: module.from_numpy(values).cuda(), "cupy": lambda: module.asarray(values)}
    array = make.get(library, lambda: module.to_gpu(values))()
    gpu = Gpu()
    stream = Stream(gpu)
    opened = open_device_array(array, gpu, stream)
    assert (opened.dtype, opened.shape) == (np.uint8, (2, 32, 32, 3))
    from maskrt.runtime.cuda.device import PinnedMemory

    copy = PinnedMemory(gpu, values.size)
    stream.copy_to_host(copy.address, opened.address, values.size)
    stream.synchronize()
    np.testing.assert_array_equal(copy.bytes, values.ravel())
