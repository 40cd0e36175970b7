"""The two operators on GPU arrays, launched straight from libmaskrt_plugins.so: no TensorRT in between.

Arrays are anything with `__cuda_array_interface__` (torch CUDA tensors, CuPy arrays, Numba arrays). The
functions only queue kernels on the given stream: they allocate nothing and wait for nothing, so they can be
captured in a CUDA graph.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from . import abi, libraries
from .attributes import RoiAlignAttributes


class CudaArray(Protocol):
    """An array in GPU memory."""

    @property
    def __cuda_array_interface__(self) -> dict: ...


class DeviceError(RuntimeError):
    """CUDA refused a launch."""


class _Array(NamedTuple):
    pointer: int
    dtype: np.dtype
    shape: tuple[int, ...]
    contiguous: bool
    channels_last: bool


def _library() -> ctypes.CDLL:
    return _open(libraries.find(libraries.PLUGINS))


@cache
def _open(path: Path) -> ctypes.CDLL:
    library = libraries.open_library(path)
    library.maskrt_status_string.restype = ctypes.c_char_p
    library.maskrt_batched_nms_workspace.restype = ctypes.c_uint64
    library.maskrt_roi_align_launch.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    library.maskrt_batched_nms_launch.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    return library


def multilevel_roi_align(
    rois: CudaArray,
    features: Sequence[CudaArray],
    output: CudaArray,
    attributes: RoiAlignAttributes,
    stream: int = 0,
) -> None:
    """Queue MultilevelRoIAlign (see `host.multilevel_roi_align`).

    Args:
        rois: [B, R, 4] float32 xyxy in canvas pixels.
        features: per level [B, C, H_l, W_l], all float32 or all float16, all contiguous or all channels-last
            (torch.channels_last, with C a multiple of 4 in float32 and of 8 in float16).
        output: [B * R, C, output_height, output_width], written; type and layout of the features.
        stream: a cudaStream_t.

    Raises:
        ValueError: a shape, type or layout does not fit.
        DeviceError: the launch failed.
    """
    boxes = _inspect("rois", rois, np.float32, (None, None, 4))
    if len(features) != len(attributes.scales):
        raise ValueError(f"{len(attributes.scales)} scales need as many features, but there are {len(features)}")
    batch, rois_per_image, _ = boxes.shape
    first = _inspect("feature_0", features[0], None, (batch, None, None, None), any_layout=True)
    if first.dtype not in (np.float32, np.float16):
        raise ValueError(f"features must be float32 or float16, but feature_0 is {first.dtype}")
    channels = first.shape[1]
    maps = [
        _inspect(f"feature_{level}", feature, first.dtype, (batch, channels, None, None), any_layout=True)
        for level, feature in enumerate(features)
    ]
    shape = (batch * rois_per_image, channels, attributes.output_height, attributes.output_width)
    target = _inspect("output", output, first.dtype, shape, any_layout=True)
    channels_last = not all(array.contiguous for array in (*maps, target))
    if channels_last and not all(array.channels_last for array in (*maps, target)):
        raise ValueError("features and output must be all contiguous or all channels-last")
    if channels_last and channels * first.dtype.itemsize % 16 != 0:
        raise ValueError(
            f"channels-last features need 16-byte vectors, which {channels} channels of {first.dtype} are not"
        )
    call = abi.RoiAlignStruct(
        attributes=attributes.to_struct(),
        batch=batch,
        rois_per_image=rois_per_image,
        channels=channels,
        data_type=abi.FLOAT16 if first.dtype == np.float16 else abi.FLOAT32,
        channels_last=channels_last,
        channel_stride=channels,
        rois=boxes.pointer,
        output=target.pointer,
    )
    for level, array in enumerate(maps):
        call.heights[level], call.widths[level] = array.shape[2:]
        call.features[level] = array.pointer
    _check(_library().maskrt_roi_align_launch(ctypes.byref(call), stream))


def batched_nms_workspace_bytes(batch: int, boxes_per_image: int, max_output: int) -> int:
    """Bytes of GPU memory that `batched_nms` needs for these sizes."""
    return int(_library().maskrt_batched_nms_workspace(batch, boxes_per_image, max_output))


def batched_nms(
    boxes: CudaArray,
    scores: CudaArray,
    groups: CudaArray,
    iou_threshold: CudaArray,
    score_threshold: CudaArray,
    num: CudaArray,
    indices: CudaArray,
    workspace: CudaArray,
    stream: int = 0,
) -> None:
    """Queue BatchedNMS (see `host.batched_nms`).

    Args:
        boxes, scores, groups: [B, N, 4] float32, [B, N] float32, [B, N] int32.
        iou_threshold, score_threshold: [1] float32.
        num, indices: [B] and [B, K] int32, written.
        workspace: uint8, at least `batched_nms_workspace_bytes` long; its content does not matter.
        stream: a cudaStream_t.

    Raises:
        ValueError: a shape or type does not fit.
        DeviceError: a launch failed.
    """
    all_boxes = _inspect("boxes", boxes, np.float32, (None, None, 4))
    batch, boxes_per_image, _ = all_boxes.shape
    kept = _inspect("indices", indices, np.int32, (batch, None))
    max_output = kept.shape[1]
    scratch = _inspect("workspace", workspace, np.uint8, (None,))
    needed = batched_nms_workspace_bytes(batch, boxes_per_image, max_output)
    if scratch.shape[0] < needed:
        raise ValueError(f"the workspace must have {needed} bytes, but has {scratch.shape[0]}")
    call = abi.BatchedNmsStruct(
        batch=batch,
        boxes_per_image=boxes_per_image,
        max_output=max_output,
        boxes=all_boxes.pointer,
        scores=_inspect("scores", scores, np.float32, (batch, boxes_per_image)).pointer,
        groups=_inspect("groups", groups, np.int32, (batch, boxes_per_image)).pointer,
        iou_threshold=_inspect("iou_threshold", iou_threshold, np.float32, (1,)).pointer,
        score_threshold=_inspect("score_threshold", score_threshold, np.float32, (1,)).pointer,
        num=_inspect("num", num, np.int32, (batch,)).pointer,
        indices=kept.pointer,
    )
    _check(_library().maskrt_batched_nms_launch(ctypes.byref(call), scratch.pointer, stream))


def _inspect(
    name: str,
    array: CudaArray,
    dtype: type | np.dtype | None,
    shape: tuple[int | None, ...],
    *,
    any_layout: bool = False,
) -> _Array:
    """Where and how the array lies, after checking its type, shape and layout."""
    interface = array.__cuda_array_interface__
    actual = tuple(interface["shape"])
    actual_dtype = np.dtype(interface["typestr"])
    fits = len(actual) == len(shape) and all(w is None or w == s for w, s in zip(shape, actual, strict=True))
    if not fits or (dtype is not None and actual_dtype != dtype):
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(
            f"{name} must be {'' if dtype is None else np.dtype(dtype)} of shape ({wanted}), "
            f"but is {actual_dtype} of shape {actual}"
        )
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
    return _Array(pointer, actual_dtype, actual, contiguous, channels_last or both)


def _has_order(shape: Sequence[int], strides: Sequence[int], itemsize: int, order: Sequence[int]) -> bool:
    """Whether the elements lie densely with the axes in this order, the last one innermost."""
    expected = itemsize
    for axis in reversed(order):
        if shape[axis] > 1 and strides[axis] != expected:
            return 0 in shape
        expected *= shape[axis]
    return True


def _check(status: int) -> None:
    if status != 0:
        raise DeviceError(f"the launch failed: {_library().maskrt_status_string(status).decode()}")
