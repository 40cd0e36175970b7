"""Arrays that already lie on the GPU: torch, CuPy, PyCUDA, Numba, ..., by the two protocols that they share.

DLPack is asked first, because it orders the two libraries' streams itself (torch's `__cuda_array_interface__` does not
name its stream). Nothing is copied; see https://dmlc.github.io/dlpack and the CUDA Array Interface, version 3, in
Numba's documentation.

Memory is shared within a CUDA context, and these libraries use the GPU's primary one. PyCUDA does after
`import pycuda.autoprimaryctx`; with `pycuda.autoinit` it makes one of its own, which other threads do not see.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskrt.errors import ArgumentError
from maskrt.runtime.cuda.device import Gpu, Stream

_LEGACY_DEFAULT_STREAM = 1
_DLPACK_CUDA, _DLPACK_CUDA_MANAGED = 2, 13  # DLDeviceType
# DLDataType: (code, bits, lanes)
_DLPACK_TYPES: dict[tuple[int, int, int], np.dtype] = {
    (1, 8, 1): np.dtype(np.uint8),
    (2, 32, 1): np.dtype(np.float32),
}


@dataclass(frozen=True, eq=False)
class DeviceArray:
    """An array in GPU memory.

    Attributes:
        address: of its first element.
        dtype, shape: as in NumPy.
        strides: in bytes; None: dense, the last axis innermost.
        owner: what keeps the memory alive.
    """

    address: int
    dtype: np.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None = None
    owner: object = None

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "data": (self.address, False),
            "typestr": self.dtype.str,
            "shape": self.shape,
            "strides": self.strides,
            "version": 3,
        }


def is_device_array(array: object) -> bool:
    """Tell whether an object says that it lies on a GPU (NumPy arrays speak DLPack, too, but for the CPU)."""
    # In this order: torch raises more than AttributeError for the other attribute of a tensor that requires gradients.
    if hasattr(array, "__dlpack_device__"):
        return array.__dlpack_device__()[0] in (_DLPACK_CUDA, _DLPACK_CUDA_MANAGED)
    return hasattr(array, "__cuda_array_interface__")


def open_device_array(array: Any, gpu: Gpu, stream: Stream) -> DeviceArray:
    """Find where an array lies; work queued on `stream` afterwards sees the content that its own library has queued.

    A library's current stream is mostly one per thread: what was queued on another stream than the default one, in
    another thread, is to be waited for by the caller.

    Raises:
        ArgumentError: it lies on another GPU or on none, or its library does not hand it out.
    """
    if hasattr(array, "__dlpack__"):
        return _open_dlpack(array, gpu, stream)
    return _open_interface(array, gpu, stream)


def _check_device(device: int | None, gpu: Gpu) -> None:
    if device != gpu.index:
        where = "on no GPU" if device is None else f"on GPU {device}"
        raise ArgumentError(f"The images lie {where}, but the engine runs on GPU {gpu.index}. Copy them there.")


def check_contiguous(array: DeviceArray) -> None:
    """Check that one copy takes the whole array.

    Raises:
        ArgumentError: it has gaps, or another order of axes.
    """
    expected = array.dtype.itemsize
    for size, stride in zip(reversed(array.shape), reversed(array.strides or ()), strict=False):
        if size > 1 and stride != expected:
            raise ArgumentError(
                "The images must be contiguous, but have gaps or another order of axes (shape "
                f"{list(array.shape)}, strides {list(array.strides or ())}). Make them contiguous first, for example "
                "with `images.contiguous()` in torch."
            )
        expected *= size


def _open_interface(array: Any, gpu: Gpu, stream: Stream) -> DeviceArray:
    interface = array.__cuda_array_interface__
    address, strides = int(interface["data"][0] or 0), interface.get("strides")
    _check_device(gpu.device_of(address), gpu)  # before the wait: a stream of another GPU would be an error
    # Where no stream is named, the protocol asks for no order. The default stream is where code that names none works.
    stream.wait_for(interface.get("stream") or _LEGACY_DEFAULT_STREAM)
    return DeviceArray(
        address,
        np.dtype(interface["typestr"]),
        tuple(map(int, interface["shape"])),
        None if strides is None else tuple(map(int, strides)),
        array,
    )


class _DLTensor(ctypes.Structure):
    """dlpack.h's DLTensor, the first member of DLManagedTensor."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("type_code", ctypes.c_uint8),
        ("type_bits", ctypes.c_uint8),
        ("type_lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype = ctypes.c_void_p
_capsule_pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)


def _open_dlpack(array: Any, gpu: Gpu, stream: Stream) -> DeviceArray:
    kind, device = array.__dlpack_device__()
    if kind == _DLPACK_CUDA:  # managed memory lies on no particular one
        _check_device(device, gpu)
    try:
        capsule = array.__dlpack__(stream=stream.handle)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise ArgumentError(f"The images cannot be taken over from {type(array).__module__}: {error}.") from None
    # The capsule keeps its name, and with it the ownership: it gives the memory back when it is collected.
    tensor = _DLTensor.from_address(_capsule_pointer(capsule, b"dltensor"))
    dtype = _DLPACK_TYPES.get((tensor.type_code, tensor.type_bits, tensor.type_lanes))
    if dtype is None:
        raise ArgumentError(
            "The images on the GPU must be uint8 or float32, but their DLPack type is "
            f"({tensor.type_code}, {tensor.type_bits} bits, {tensor.type_lanes} lanes)."
        )
    address, axes = (tensor.data or 0) + tensor.byte_offset, range(tensor.ndim)
    _check_device(gpu.device_of(address), gpu)
    return DeviceArray(
        address,
        dtype,
        tuple(tensor.shape[axis] for axis in axes),
        tuple(tensor.strides[axis] * dtype.itemsize for axis in axes) if tensor.strides else None,
        capsule,
    )
