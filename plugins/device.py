"""The kernels on GPU arrays, launched straight from libmaskrt_plugins.so: no TensorRT in between.

Arrays are anything with `__cuda_array_interface__` (torch CUDA tensors, CuPy arrays, Numba arrays). The
functions only queue kernels on the given stream: they allocate nothing and wait for nothing, so they can be
captured in a CUDA graph.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from maskrt.contract.pipeline import Filter, Paste
from maskrt.plugins import abi, libraries
from maskrt.plugins.array_checks import check_masks, check_sizes
from maskrt.plugins.attributes import TORCHVISION_PASTE, RoiAlignAttributes
from maskrt.plugins.box_scales import box_scales
from maskrt.plugins.cuda_arrays import CudaArray, inspect_array, inspect_frame


class DeviceError(RuntimeError):
    """CUDA refused a launch."""


def library() -> ctypes.CDLL:
    """Open libmaskrt_plugins.so."""
    return _open(libraries.find(libraries.PLUGINS))


@cache
def _open(path: Path) -> ctypes.CDLL:
    library = libraries.open_library(path)
    library.maskrt_status_string.restype = ctypes.c_char_p
    library.maskrt_batched_nms_workspace.restype = ctypes.c_uint64
    library.maskrt_roi_align_launch.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    library.maskrt_batched_nms_launch.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    library.maskrt_decode_keypoints_launch.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    library.maskrt_resize_pad_workspace.restype = ctypes.c_uint64
    library.maskrt_resize_pad_launch.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    library.maskrt_proposals_workspace.restype = ctypes.c_uint64
    library.maskrt_proposals_launch.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    library.maskrt_detections_workspace.restype = ctypes.c_uint64
    library.maskrt_detections_launch.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    library.maskrt_paste_rle_workspace.restype = ctypes.c_uint64
    library.maskrt_paste_rle_launch.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    return library


def multilevel_roi_align(
    rois: CudaArray,
    features: Sequence[CudaArray],
    output: CudaArray,
    attributes: RoiAlignAttributes,
    stream: int = 0,
    *,
    order: CudaArray | None = None,
) -> None:
    """Queue MultilevelRoIAlign (see `host.multilevel_roi_align`).

    Args:
        rois: [B, R, 4] float32 xyxy in canvas pixels.
        features: per level [B, C, H_l, W_l], all float32 or all float16, all contiguous or all channels-last
            (torch.channels_last, with C a multiple of 4 in float32 and of 8 in float16).
        output: [B * R, C, output_height, output_width], written; type and layout of the features.
        attributes: how to pool; one scale per feature.
        stream: a cudaStream_t.
        order: [B, R] int32, written: memory for the order in which RoIs are pooled, that those close to each other find
            their pixels in the cache. None: in that of `rois`. The result does not depend on it.

    Raises:
        ValueError: a shape, type or layout does not fit.
        DeviceError: the launch failed.
    """
    boxes = inspect_array("rois", rois, np.float32, (None, None, 4))
    if len(features) != len(attributes.scales):
        raise ValueError(f"{len(attributes.scales)} scales need as many features, but there are {len(features)}")
    batch, rois_per_image, _ = boxes.shape
    first = inspect_array("feature_0", features[0], None, (batch, None, None, None), any_layout=True)
    if first.dtype not in (np.float32, np.float16):
        raise ValueError(f"features must be float32 or float16, but feature_0 is {first.dtype}")
    channels = first.shape[1]
    maps = [
        inspect_array(f"feature_{level}", feature, first.dtype, (batch, channels, None, None), any_layout=True)
        for level, feature in enumerate(features)
    ]
    shape = (batch * rois_per_image, channels, attributes.output_height, attributes.output_width)
    target = inspect_array("output", output, first.dtype, shape, any_layout=True)
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
        order=None if order is None else inspect_array("order", order, np.int32, boxes.shape[:2]).pointer,
        output=target.pointer,
    )
    for level, array in enumerate(maps):
        call.heights[level], call.widths[level] = array.shape[2:]
        call.features[level] = array.pointer
    check(library().maskrt_roi_align_launch(ctypes.byref(call), stream))


def batched_nms_workspace_bytes(batch: int, boxes_per_image: int, max_output: int) -> int:
    """Return how many bytes of GPU memory `batched_nms` needs for these sizes."""
    return int(library().maskrt_batched_nms_workspace(batch, boxes_per_image, max_output))


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
        boxes: [B, N, 4] float32 xyxy.
        scores: [B, N] float32.
        groups: [B, N] int32.
        iou_threshold: [B, 1] float32, one row per image.
        score_threshold: [B, 1] float32, one row per image.
        num: [B] int32, written.
        indices: [B, K] int32, written.
        workspace: uint8, at least `batched_nms_workspace_bytes` long; its content does not matter.
        stream: a cudaStream_t.

    Raises:
        ValueError: a shape or type does not fit.
        DeviceError: a launch failed.
    """
    all_boxes = inspect_array("boxes", boxes, np.float32, (None, None, 4))
    batch, boxes_per_image, _ = all_boxes.shape
    kept = inspect_array("indices", indices, np.int32, (batch, None))
    max_output = kept.shape[1]
    scratch = inspect_array("workspace", workspace, np.uint8, (None,))
    needed = batched_nms_workspace_bytes(batch, boxes_per_image, max_output)
    if scratch.shape[0] < needed:
        raise ValueError(f"the workspace must have {needed} bytes, but has {scratch.shape[0]}")
    call = abi.BatchedNmsStruct(
        batch=batch,
        boxes_per_image=boxes_per_image,
        max_output=max_output,
        boxes=all_boxes.pointer,
        scores=inspect_array("scores", scores, np.float32, (batch, boxes_per_image)).pointer,
        groups=inspect_array("groups", groups, np.int32, (batch, boxes_per_image)).pointer,
        iou_threshold=inspect_array("iou_threshold", iou_threshold, np.float32, (batch, 1)).pointer,
        score_threshold=inspect_array("score_threshold", score_threshold, np.float32, (batch, 1)).pointer,
        num=inspect_array("num", num, np.int32, (batch,)).pointer,
        indices=kept.pointer,
    )
    check(library().maskrt_batched_nms_launch(ctypes.byref(call), scratch.pointer, stream))


def decode_keypoints(
    boxes: CudaArray, heatmaps: CudaArray, keypoints: CudaArray, stream: int = 0, *, normalized: bool
) -> None:
    """Queue DecodeKeypoints (see `host.decode_keypoints`).

    Args:
        boxes: [B, K, 4] float32 xyxy.
        heatmaps: [B * K, N, H, W] float32 logits.
        keypoints: [B, K, N, 3] float32, written: x, y, score.
        stream: a cudaStream_t.
        normalized: which of the two scores.

    Raises:
        ValueError: a shape or type does not fit.
        DeviceError: the launch failed.
    """
    corners = inspect_array("boxes", boxes, np.float32, (None, None, 4))
    batch, count, _ = corners.shape
    maps = inspect_array("heatmaps", heatmaps, np.float32, (batch * count, None, None, None))
    rois, number, height, width = maps.shape
    call = abi.DecodeKeypointsStruct(
        rois=rois,
        keypoints=number,
        map_height=height,
        map_width=width,
        normalized=normalized,
        boxes=corners.pointer,
        heatmaps=maps.pointer,
        output=inspect_array("keypoints", keypoints, np.float32, (batch, count, number, 3)).pointer,
    )
    check(library().maskrt_decode_keypoints_launch(ctypes.byref(call), stream))


def resize_pad_workspace_bytes(
    frame_sizes: Sequence[tuple[int, int]], sizes: Sequence[tuple[int, int]], filter: Filter = "bilinear"
) -> int:
    """Return how many bytes of GPU memory `resize_pad` needs: 0 for all filters but Pillow's.

    Args:
        frame_sizes: (height, width) of each frame.
        sizes: the same on the canvas.
        filter: how pixels are resized.
    """
    structs = (abi.FrameStruct * len(sizes))()
    for struct, frame_size, size in zip(structs, frame_sizes, sizes, strict=True):
        struct.height, struct.width = frame_size
        struct.row_stride = 3 * frame_size[1]
        struct.resized_height, struct.resized_width = size
    call = abi.ResizePadStruct(
        batch=len(sizes),
        canvas_height=max((size[0] for size in sizes), default=1),
        canvas_width=max((size[1] for size in sizes), default=1),
        data_type=abi.UINT8,
        filter=abi.FILTERS[filter],
        frames=ctypes.addressof(structs),
    )
    return int(library().maskrt_resize_pad_workspace(ctypes.byref(call)))


def resize_pad(
    frames: Sequence[CudaArray],
    sizes: Sequence[tuple[int, int]],
    canvas: CudaArray,
    stream: int = 0,
    *,
    filter: Filter = "bilinear",
    workspace: CudaArray | None = None,
) -> None:
    """Queue resizing and padding (see `host.resize_pad`): one launch for up to 32 frames, for Pillow's filter three.

    In a CUDA graph the frames' addresses and sizes stay those of the capture.

    Args:
        frames: [h, w, 3] uint8 RGB each; may start at any address and have gaps between their rows (a crop).
        sizes: (height, width) of each frame on the canvas.
        canvas: [B, H, W, 3] uint8 or float32, written whole; fastest where W is a multiple of 4.
        stream: a cudaStream_t.
        filter: how pixels are resized.
        workspace: uint8, at least `resize_pad_workspace_bytes` long; its content does not matter. None where that is 0.

    Raises:
        ValueError: a shape, type or layout does not fit.
        DeviceError: the launch failed.
    """
    target = inspect_array("canvas", canvas, None, (len(frames), None, None, 3))
    if target.dtype not in (np.uint8, np.float32):
        raise ValueError(f"canvas must be uint8 or float32, but is {target.dtype}")
    _, height, width, _ = target.shape
    check_sizes(frames, sizes)
    structs = (abi.FrameStruct * len(frames))()
    for number, (struct, frame, size) in enumerate(zip(structs, frames, sizes, strict=True)):
        facts = inspect_frame(f"frame {number}", frame)
        if not (1 <= size[0] <= height and 1 <= size[1] <= width):
            raise ValueError(f"frame {number} is to become {size[0]}x{size[1]}, but the canvas is {height}x{width}")
        struct.pixels, struct.height, struct.width, struct.row_stride = facts
        struct.resized_height, struct.resized_width = size
    call = abi.ResizePadStruct(
        batch=len(frames),
        canvas_height=height,
        canvas_width=width,
        data_type=abi.UINT8 if target.dtype == np.uint8 else abi.FLOAT32,
        filter=abi.FILTERS[filter],
        frames=ctypes.addressof(structs),
        canvas=target.pointer,
    )
    scratch = None if workspace is None else inspect_array("workspace", workspace, np.uint8, (None,))
    needed, given = int(library().maskrt_resize_pad_workspace(ctypes.byref(call))), scratch.shape[0] if scratch else 0
    if given < needed:
        raise ValueError(f"the workspace must have {needed} bytes, but has {given}")
    pointer = scratch.pointer if scratch else None
    check(library().maskrt_resize_pad_launch(ctypes.byref(call), pointer, stream))


def paste_rle_workspace_bytes(instances: int, image_width: int) -> int:
    """Return how many bytes of GPU memory `paste_rle` needs for these sizes."""
    return int(library().maskrt_paste_rle_workspace(instances, image_width))


def paste_rle(
    boxes: CudaArray,
    mask_probabilities: CudaArray,
    image_size: tuple[int, int],
    counts: CudaArray,
    lengths: CudaArray,
    total: CudaArray,
    workspace: CudaArray,
    stream: int = 0,
    *,
    box_image_size: tuple[int, int] | None = None,
    num: CudaArray | None = None,
    paste: Paste = TORCHVISION_PASTE,
) -> None:
    """Queue mask pasting and run-length encoding (see `host.paste_rle`) for one image.

    If `total` comes out larger than `counts`, then `counts` holds the first run lengths only and `lengths` is whole:
    call again with room for `total`. A convex mask takes two run lengths per column of its box, and one.

    Args:
        boxes: [N, 4] float32 xyxy.
        mask_probabilities: [N, M, M] float32.
        image_size: (height, width) of the image that the masks are pasted into.
        counts: [capacity] uint32, written: the run lengths of all masks one behind the other, zeros first.
        lengths: [N] int32, written: how many run lengths each mask has.
        total: [1] int64, written: the sum of `lengths`.
        workspace: uint8, at least `paste_rle_workspace_bytes` long; its content does not matter.
        stream: a cudaStream_t.
        box_image_size: (height, width) of the picture whose pixels the boxes are in, e.g. the resized image on a
            network's canvas; by default image_size.
        num: [1] int32: only so many of the N instances are there, the others get length 0; by default all.
        paste: rule and threshold; by default torchvision's.

    Raises:
        ValueError: a shape or type does not fit.
        DeviceError: a launch failed.
    """
    corners = inspect_array("boxes", boxes, np.float32, (None, 4))
    instances = corners.shape[0]
    masks = inspect_array("mask_probabilities", mask_probabilities, np.float32, (instances, None, None))
    check_masks(masks.shape)
    room = inspect_array("counts", counts, np.uint32, (None,))
    scratch = inspect_array("workspace", workspace, np.uint8, (None,))
    needed = paste_rle_workspace_bytes(instances, image_size[1])
    if scratch.shape[0] < needed:
        raise ValueError(f"the workspace must have {needed} bytes, but has {scratch.shape[0]}")
    scale_y, scale_x = box_scales(image_size, box_image_size)
    call = abi.PasteRleStruct(
        instances=instances,
        mask_size=masks.shape[1],
        image_height=image_size[0],
        image_width=image_size[1],
        rule=abi.PASTE_RULES[paste.rule],
        threshold=paste.threshold,
        box_scale_x=scale_x,
        box_scale_y=scale_y,
        boxes=corners.pointer,
        mask_probabilities=masks.pointer,
        num=None if num is None else inspect_array("num", num, np.int32, (1,)).pointer,
        capacity=room.shape[0],
        counts=room.pointer,
        lengths=inspect_array("lengths", lengths, np.int32, (instances,)).pointer,
        total=inspect_array("total", total, np.int64, (1,)).pointer,
    )
    check(library().maskrt_paste_rle_launch(ctypes.byref(call), scratch.pointer, stream))


def check(status: int) -> None:
    """Raise DeviceError unless a launch succeeded."""
    if status != 0:
        raise DeviceError(f"the launch failed: {library().maskrt_status_string(status).decode()}")
