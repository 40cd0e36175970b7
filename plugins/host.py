"""The kernels' work on NumPy arrays, by the host build of their arithmetic (libmaskrt_host.so).

This is the reference that the kernels are tested against: plain loops, single-threaded, not made for speed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskrt.contract.pipeline import Filter, Paste
from maskrt.plugins import abi, libraries
from maskrt.plugins.array_checks import check_masks, check_sizes, check_type_and_shape
from maskrt.plugins.attributes import TORCHVISION_PASTE, RoiAlignAttributes
from maskrt.plugins.box_scales import box_scales


def library() -> ctypes.CDLL:
    """Open libmaskrt_host.so."""
    return _open(libraries.find(libraries.HOST, "python -m maskrt.plugins.build --host-only"))


@cache
def _open(path: Path) -> ctypes.CDLL:
    return libraries.open_library(path)


def multilevel_roi_align(
    rois: NDArray[np.float32], features: Sequence[NDArray[np.floating]], attributes: RoiAlignAttributes
) -> NDArray[np.floating]:
    """Pool every RoI (RoIAlign) from the pyramid level that its size chooses (FPN, arXiv:1612.03144, eq. 1).

    The arithmetic of a bin is torchvision's `roi_align`. A NaN coordinate makes an RoI's output zero.

    Args:
        rois: [B, R, 4] float32 xyxy in canvas pixels.
        features: per level [B, C, H_l, W_l], all float32 or all float16, finest first.
        attributes: one scale per feature.

    Returns:
        [B * R, C, output_height, output_width] of the features' type; float16 is float32 rounded once.

    Raises:
        ValueError: a shape or type does not fit.
        libraries.PluginLibraryError: the library is not built.
    """
    _check_array("rois", rois, np.float32, (None, None, 4))
    if len(features) != len(attributes.scales):
        raise ValueError(f"{len(attributes.scales)} scales need as many features, but there are {len(features)}")
    dtype = features[0].dtype
    if dtype not in (np.float32, np.float16):
        raise ValueError(f"features must be float32 or float16, but feature_0 is {dtype}")
    batch, rois_per_image, _ = rois.shape
    channels = features[0].shape[1] if features[0].ndim == 4 else None
    for level, feature in enumerate(features):
        _check_array(f"feature_{level}", feature, dtype, (batch, channels, None, None))
        if 0 in feature.shape[2:]:
            raise ValueError(f"feature_{level} must have at least one pixel, but its shape is {feature.shape}")
    wide = [np.ascontiguousarray(feature, dtype=np.float32) for feature in features]
    rois = np.ascontiguousarray(rois)
    output = np.empty(
        (batch * rois_per_image, wide[0].shape[1], attributes.output_height, attributes.output_width),
        np.float32,
    )
    call = abi.RoiAlignStruct(
        attributes=attributes.to_struct(),
        batch=batch,
        rois_per_image=rois_per_image,
        channels=wide[0].shape[1],
        data_type=abi.FLOAT32,
        rois=rois.ctypes.data,
        output=output.ctypes.data,
    )
    for level, feature in enumerate(wide):
        call.heights[level], call.widths[level] = feature.shape[2:]
        call.features[level] = feature.ctypes.data
    check_status(library().maskrt_host_roi_align(ctypes.byref(call)))
    return output.astype(dtype, copy=False)


def batched_nms(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    groups: NDArray[np.int32],
    iou_threshold: NDArray[np.float32],
    score_threshold: NDArray[np.float32],
    max_output: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Suppress all but the best boxes within groups (torchvision `batched_nms`), then keep the best of all groups.

    Candidates have score > score_threshold and are taken by descending score, ties by lower index. A kept box
    suppresses later ones of its group with IoU > iou_threshold. Each image has its own thresholds.

    Args:
        boxes: [B, N, 4] float32 xyxy.
        scores: [B, N] float32; NaN is no candidate.
        groups: [B, N] int32, any values.
        iou_threshold: [B, 1] float32; a double is rounded down for the comparison that torchvision's CPU kernel makes.
        score_threshold: [B, 1] float32.
        max_output: K, at least 1.

    Returns:
        num [B] int32 and indices [B, K] int32, in descending score order, -1 after the first num.

    Raises:
        ValueError: a shape, type or value does not fit.
        libraries.PluginLibraryError: the library is not built.
    """
    _check_array("boxes", boxes, np.float32, (None, None, 4))
    _check_array("scores", scores, np.float32, boxes.shape[:2])
    _check_array("groups", groups, np.int32, boxes.shape[:2])
    _check_array("iou_threshold", iou_threshold, np.float32, (boxes.shape[0], 1))
    _check_array("score_threshold", score_threshold, np.float32, (boxes.shape[0], 1))
    if max_output < 1:
        raise ValueError(f"max_output must be at least 1, but is {max_output}")
    boxes, scores, groups = np.ascontiguousarray(boxes), np.ascontiguousarray(scores), np.ascontiguousarray(groups)
    iou_threshold, score_threshold = np.ascontiguousarray(iou_threshold), np.ascontiguousarray(score_threshold)
    num = np.empty(boxes.shape[0], np.int32)
    indices = np.empty((boxes.shape[0], max_output), np.int32)
    call = abi.BatchedNmsStruct(
        batch=boxes.shape[0],
        boxes_per_image=boxes.shape[1],
        max_output=max_output,
        boxes=boxes.ctypes.data,
        scores=scores.ctypes.data,
        groups=groups.ctypes.data,
        iou_threshold=iou_threshold.ctypes.data,
        score_threshold=score_threshold.ctypes.data,
        num=num.ctypes.data,
        indices=indices.ctypes.data,
    )
    check_status(library().maskrt_host_batched_nms(ctypes.byref(call)))
    return num, indices


def decode_keypoints(
    boxes: NDArray[np.float32], heatmaps: NDArray[np.float32], *, normalized: bool
) -> NDArray[np.float32]:
    """Find each heatmap's maximum, once stretched over its box: torchvision's and detectron2's `heatmaps_to_keypoints`.

    A heatmap becomes a bicubic surface of ceil(box) pixels (torch's `interpolate`, bit for bit on a processor with
    AVX2), of which only the columns' maxima are kept. Of equal maxima it is the first in row order; NaN counts as the
    maximum, as in torch's `argmax`. Sides below one pixel, and such as are no number, count as one.

    Args:
        boxes: [B, K, 4] float32 xyxy.
        heatmaps: [B * K, N, H, W] float32 logits.
        normalized: False: the score is the logit at the maximum (torchvision). True: 1 / the sum of
            exp(heatmap - that logit) over the heatmap (detectron2); it may exceed 1.

    Returns:
        [B, K, N, 3] float32: x, y, score.

    Raises:
        ValueError: a shape or type does not fit.
        libraries.PluginLibraryError: the library is not built.
    """
    _check_array("boxes", boxes, np.float32, (None, None, 4))
    _check_array("heatmaps", heatmaps, np.float32, (boxes.shape[0] * boxes.shape[1], None, None, None))
    boxes, heatmaps = np.ascontiguousarray(boxes), np.ascontiguousarray(heatmaps)
    rois, keypoints, height, width = heatmaps.shape
    output = np.empty((*boxes.shape[:2], keypoints, 3), np.float32)
    call = abi.DecodeKeypointsStruct(
        rois=rois,
        keypoints=keypoints,
        map_height=height,
        map_width=width,
        normalized=normalized,
        boxes=boxes.ctypes.data,
        heatmaps=heatmaps.ctypes.data,
        output=output.ctypes.data,
    )
    check_status(library().maskrt_host_decode_keypoints(ctypes.byref(call)))
    return output


def select_levels(rois: NDArray[np.float32], level_thresholds: Sequence[float]) -> NDArray[np.int32]:
    """Choose the pyramid level of each RoI: how many of the thresholds sqrt(area) reaches.

    Args:
        rois: [..., 4] float32 xyxy in canvas pixels.
        level_thresholds: ascending.

    Returns:
        [...] int32.
    """
    rois = np.ascontiguousarray(rois)
    _check_array("rois", rois, np.float32, (*[None] * (rois.ndim - 1), 4))
    thresholds = np.asarray(level_thresholds, np.float32)
    levels = np.empty(rois.shape[:-1], np.int32)
    library().maskrt_host_select_levels(
        ctypes.c_void_p(rois.ctypes.data),
        ctypes.c_int64(levels.size),
        ctypes.c_void_p(thresholds.ctypes.data),
        ctypes.c_int32(thresholds.size),
        ctypes.c_void_p(levels.ctypes.data),
    )
    return levels


def resize_pad(
    frames: Sequence[NDArray[np.uint8]],
    sizes: Sequence[tuple[int, int]],
    canvas_size: tuple[int, int],
    dtype: type[np.uint8] | type[np.float32],
    filter: Filter = "bilinear",
) -> NDArray:
    """Resize frames and lay each into the upper left corner of its slot on a canvas.

    The bits are those of the filter in `runtime.transforms.filters`; of Pillow's, those of its versions before 13,
    which resize along x first whatever the sizes.

    Args:
        frames: [h, w, 3] uint8 RGB each; the rows may have gaps between them, not inside.
        sizes: (height, width) of each frame on the canvas.
        canvas_size: (H, W).
        dtype: of the canvas.
        filter: how pixels are resized.

    Returns:
        [B, H, W, 3], zero right of and below each frame.

    Raises:
        ValueError: a shape or type does not fit.
        libraries.PluginLibraryError: the library is not built.
    """
    if dtype not in (np.uint8, np.float32):
        raise ValueError(f"the canvas must be uint8 or float32, but is to be {np.dtype(dtype)}")
    check_sizes(frames, sizes)
    structs = (abi.FrameStruct * len(frames))()
    for number, (struct, frame, size) in enumerate(zip(structs, frames, sizes, strict=True)):
        _check_array(f"frame {number}", frame, np.uint8, (None, None, 3))
        if frame.strides[1:] != (3, 1):
            raise ValueError(
                f"frame {number} must have its pixels one after the other, but has strides {frame.strides}"
            )
        struct.pixels, struct.row_stride = frame.ctypes.data, frame.strides[0]
        struct.height, struct.width = frame.shape[:2]
        struct.resized_height, struct.resized_width = size
    canvas = np.empty((len(frames), *canvas_size, 3), dtype)
    call = abi.ResizePadStruct(
        batch=len(frames),
        canvas_height=canvas_size[0],
        canvas_width=canvas_size[1],
        data_type=abi.UINT8 if canvas.dtype == np.uint8 else abi.FLOAT32,
        filter=abi.FILTERS[filter],
        frames=ctypes.addressof(structs),
        canvas=canvas.ctypes.data,
    )
    check_status(library().maskrt_host_resize_pad(ctypes.byref(call)))
    return canvas


def paste_rle(
    boxes: NDArray[np.float32],
    mask_probabilities: NDArray[np.float32],
    image_size: tuple[int, int],
    *,
    box_image_size: tuple[int, int] | None = None,
    num: int | None = None,
    paste: Paste = TORCHVISION_PASTE,
) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    """Paste masks as COCO run lengths of the whole image.

    Args:
        boxes: [N, 4] float32 xyxy; may reach beyond the image.
        mask_probabilities: [N, M, M] float32.
        image_size: (height, width).
        box_image_size: (height, width) of the picture whose pixels the boxes are in; by default image_size.
        num: only so many of the N instances are there, the others get length 0; by default all.
        paste: rule and threshold; by default torchvision's.

    Returns:
        The run lengths of all masks one behind the other (uint32, column-major, zeros first), and how many belong
        to each mask ([N] int32). What `runtime.masks.paste.paste_counts` gives.

    Raises:
        ValueError: a shape or type does not fit.
        libraries.PluginLibraryError: the library is not built.
    """
    _check_array("boxes", boxes, np.float32, (None, 4))
    _check_array("mask_probabilities", mask_probabilities, np.float32, (len(boxes), None, None))
    check_masks(mask_probabilities.shape)
    boxes, mask_probabilities = np.ascontiguousarray(boxes), np.ascontiguousarray(mask_probabilities)
    present = np.array([len(boxes) if num is None else num], np.int32)
    scale_y, scale_x = box_scales(image_size, box_image_size)
    lengths, total = np.empty(len(boxes), np.int32), np.empty(1, np.int64)
    call = abi.PasteRleStruct(
        instances=len(boxes),
        mask_size=mask_probabilities.shape[1],
        image_height=image_size[0],
        image_width=image_size[1],
        rule=abi.PASTE_RULES[paste.rule],
        threshold=paste.threshold,
        box_scale_x=scale_x,
        box_scale_y=scale_y,
        boxes=boxes.ctypes.data,
        mask_probabilities=mask_probabilities.ctypes.data,
        num=present.ctypes.data,
        lengths=lengths.ctypes.data,
        total=total.ctypes.data,
    )
    check_status(library().maskrt_host_paste_rle(ctypes.byref(call)))  # how many run lengths there are
    counts = np.empty(total[0], np.uint32)
    call.capacity, call.counts = len(counts), counts.ctypes.data
    check_status(library().maskrt_host_paste_rle(ctypes.byref(call)))
    return counts, lengths


def check_status(status: int) -> None:
    """Raise ValueError unless a call succeeded."""
    if status != 0:
        raise ValueError(f"the host library refused the call (status {status})")


def _check_array(name: str, array: NDArray, dtype: type | np.dtype, shape: tuple[int | None, ...]) -> None:
    check_type_and_shape(name, array.dtype, array.shape, dtype, shape)
