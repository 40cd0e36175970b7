"""DetectionOutput on GPU arrays, launched straight from libmaskrt_plugins.so; see `maskrt.plugins.device`."""

from __future__ import annotations

import ctypes

import numpy as np

from maskrt.plugins import abi, device
from maskrt.plugins.cuda_arrays import CudaArray, inspect_array
from maskrt.plugins.detection_attributes import DetectionAttributes
from maskrt.plugins.host_detections import check_shapes

_TYPES = {np.dtype(np.float32): abi.FLOAT32, np.dtype(np.float16): abi.FLOAT16}


def detection_output_workspace_bytes(batch: int, proposals: int, labels: int, attributes: DetectionAttributes) -> int:
    """Return how many bytes of GPU memory `detection_output` needs for images with so many proposals each."""
    call = abi.DetectionsStruct(attributes.to_struct(), batch, proposals, labels)
    return int(device.library().maskrt_detections_workspace(ctypes.byref(call)))


def detection_output(
    logits: CudaArray,
    deltas: CudaArray,
    proposals: CudaArray,
    num_proposals: CudaArray,
    image_sizes: CudaArray,
    score_threshold: CudaArray,
    nms_threshold: CudaArray,
    num: CudaArray,
    boxes: CudaArray,
    scores: CudaArray,
    labels: CudaArray,
    workspace: CudaArray,
    attributes: DetectionAttributes,
    stream: int = 0,
) -> None:
    """Queue DetectionOutput (see `host_detections.detection_output`).

    Args:
        logits: [B R, L] float32 or float16.
        deltas: [B R, D] float32 or float16.
        proposals: [B, R, 4] float32.
        num_proposals: [B] int32.
        image_sizes: [B, 2] int32.
        score_threshold, nms_threshold: [B, 1] float32.
        num: [B] int32, written.
        boxes: [B, K, 4] float32, written.
        scores: [B, K] float32, written.
        labels: [B, K] int32, written.
        workspace: uint8, at least `detection_output_workspace_bytes` long; its content does not matter.
        attributes: of the node.
        stream: a cudaStream_t.

    Raises:
        ValueError: a shape, type or layout does not fit.
        DeviceError: a launch failed.
    """
    rois = inspect_array("proposals", proposals, np.float32, (None, None, 4))
    batch, count, most = rois.shape[0], rois.shape[1], attributes.max_detections
    scored, moves = (
        inspect_array(name, array, None, (None, None)) for name, array in (("logits", logits), ("deltas", deltas))
    )
    check_shapes(scored.shape, moves.shape, rois.shape, attributes)
    for name, array in (("logits", scored), ("deltas", moves)):
        if array.dtype not in _TYPES:
            raise ValueError(f"{name} must be float32 or float16, but is {array.dtype}")
    others = (
        inspect_array("num_proposals", num_proposals, np.int32, (batch,)),
        inspect_array("image_sizes", image_sizes, np.int32, (batch, 2)),
        inspect_array("score_threshold", score_threshold, np.float32, (batch, 1)),
        inspect_array("nms_threshold", nms_threshold, np.float32, (batch, 1)),
        inspect_array("num", num, np.int32, (batch,)),
        inspect_array("boxes", boxes, np.float32, (batch, most, 4)),
        inspect_array("scores", scores, np.float32, (batch, most)),
        inspect_array("labels", labels, np.int32, (batch, most)),
    )
    scratch = inspect_array("workspace", workspace, np.uint8, (None,))
    needed = detection_output_workspace_bytes(batch, count, scored.shape[1], attributes)
    if scratch.shape[0] < needed:
        raise ValueError(f"the workspace must have {needed} bytes, but has {scratch.shape[0]}")
    call = abi.DetectionsStruct(
        attributes.to_struct(),
        *(batch, count, scored.shape[1]),
        *(_TYPES[scored.dtype], _TYPES[moves.dtype]),
        *(array.pointer for array in (scored, moves, rois, *others)),
    )
    device.check(device.library().maskrt_detections_launch(ctypes.byref(call), scratch.pointer, stream))
