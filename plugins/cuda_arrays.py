"""Arrays in GPU memory, as `__cuda_array_interface__` describes them, checked before a kernel sees their pointers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from maskrt.plugins.array_checks import check_type_and_shape


class CudaArray(Protocol):
    """An array in GPU memory."""

    @property
    def __cuda_array_interface__(self) -> dict: ...


class ArrayFacts(NamedTuple):
    """Where and how an array lies."""

    pointer: int
    dtype: np.dtype
    shape: tuple[int, ...]
    contiguous: bool
    channels_last: bool


class FrameFacts(NamedTuple):
    """Where a picture lies; row_stride is in bytes."""

    pointer: int
    height: int
    width: int
    row_stride: int


def inspect_array(
    name: str,
    array: CudaArray,
    dtype: type | np.dtype | None,
    shape: tuple[int | None, ...],
    *,
    any_layout: bool = False,
) -> ArrayFacts:
    """Tell where and how an array lies, after checking its type, shape, alignment and layout.

    Args:
        name: of the array, for messages.
        array: on the device.
        dtype: that it must have; None: any.
        shape: that it must have; None: any size.
        any_layout: a channels-last array will do as well as a contiguous one.

    Raises:
        ValueError: something does not fit.
    """
    interface = array.__cuda_array_interface__
    actual, actual_dtype = tuple(interface["shape"]), np.dtype(interface["typestr"])
    check_type_and_shape(name, actual_dtype, actual, dtype, shape)
    pointer = interface["data"][0] or 0
    if pointer % 16 != 0:
        raise ValueError(f"{name} must start at a multiple of 16 bytes, but starts at {pointer:#x}")
    strides = interface.get("strides")
    contiguous = strides is None or _has_order(actual, strides, actual_dtype.itemsize, range(len(actual)))
    channels_last = (
        strides is not None and len(actual) == 4 and _has_order(actual, strides, actual_dtype.itemsize, (0, 2, 3, 1))
    )
    if not contiguous and not (any_layout and channels_last):
        raise ValueError(f"{name} must be contiguous{' or channels-last' if any_layout else ''}, but has gaps")
    # A map of one pixel, or of one channel, is both.
    both = contiguous and len(actual) == 4 and (actual[1] == 1 or actual[2] * actual[3] == 1)
    return ArrayFacts(pointer, actual_dtype, actual, contiguous, channels_last or both)


def inspect_frame(name: str, frame: CudaArray) -> FrameFacts:
    """Tell where a [H, W, 3] uint8 picture lies, which may start anywhere and have gaps between its rows.

    Raises:
        ValueError: something does not fit.
    """
    interface = frame.__cuda_array_interface__
    shape = tuple(interface["shape"])
    check_type_and_shape(name, np.dtype(interface["typestr"]), shape, np.uint8, (None, None, 3))
    height, width, _ = shape
    if height == 0 or width == 0:
        raise ValueError(f"{name} must have at least one pixel, but is {height}x{width}")
    row, pixel, channel = interface.get("strides") or (3 * width, 3, 1)
    if channel != 1 or (width > 1 and pixel != 3) or (height > 1 and row < 3 * width):
        raise ValueError(
            f"{name} must have its pixels one after the other, 3 bytes each, but has strides {(row, pixel, channel)}"
        )
    return FrameFacts(interface["data"][0], height, width, max(row, 3 * width))


def _has_order(shape: Sequence[int], strides: Sequence[int], itemsize: int, order: Sequence[int]) -> bool:
    """Tell whether the elements lie densely with the axes in this order, the last one innermost."""
    expected = itemsize
    for axis in reversed(order):
        if shape[axis] > 1 and strides[axis] != expected:
            return 0 in shape
        expected *= shape[axis]
    return True
