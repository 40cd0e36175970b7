"""DetectionOutput on NumPy arrays, by the host build of the kernels' arithmetic; see `maskrt.plugins.host`."""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from maskrt.plugins import abi, host
from maskrt.plugins.array_checks import check_type_and_shape
from maskrt.plugins.detection_attributes import DetectionAttributes


def detection_output(
    logits: NDArray[np.floating],
    deltas: NDArray[np.floating],
    proposals: NDArray[np.float32],
    num_proposals: NDArray[np.int32],
    image_sizes: NDArray[np.int32],
    score_threshold: NDArray[np.float32],
    nms_threshold: NDArray[np.float32],
    attributes: DetectionAttributes,
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    """Turn what a box head says of proposals into detections (Girshick 2015), as the frameworks do by their attributes.

    Where a class's score is above the threshold, the proposal is moved by its deltas (Girshick et al. 2014, appendix
    C), clipped and filtered; then boxes suppress those of their class with a lower score, and the best of all classes
    remain. Ties: the earlier proposal, then the lower class. NaN scores and boxes with a NaN coordinate make no
    detections.

    Args:
        logits: [B R, L], L labels, float32 or float16.
        deltas: [B R, 4], [B R, 4 L] or [B R, 4 (L - 1)] as the attributes say, float32 or float16.
        proposals: [B, R, 4] float32 xyxy in canvas pixels.
        num_proposals: [B] int32; rows behind so many do not exist.
        image_sizes: [B, 2] int32, the height and width that boxes are clipped to.
        score_threshold: [B, 1] float32; scores are above it.
        nms_threshold: [B, 1] float32.
        attributes: of the node.

    Returns:
        num [B] int32, boxes [B, K, 4] float32 xyxy in canvas pixels, scores [B, K] float32 and labels [B, K] int32 from
        1 on, the best first, zero after the first num.

    Raises:
        ValueError: a shape or type does not fit.
        maskrt.plugins.libraries.PluginLibraryError: the library is not built.
    """
    for name, array in (("logits", logits), ("deltas", deltas)):
        if array.dtype not in (np.float32, np.float16):
            raise ValueError(f"{name} must be float32 or float16, but is {array.dtype}")
    check_shapes(logits.shape, deltas.shape, proposals.shape, attributes)
    batch = proposals.shape[0]
    check_type_and_shape("proposals", proposals.dtype, proposals.shape, np.float32, (None, None, 4))
    check_type_and_shape("num_proposals", num_proposals.dtype, num_proposals.shape, np.int32, (batch,))
    check_type_and_shape("image_sizes", image_sizes.dtype, image_sizes.shape, np.int32, (batch, 2))
    check_type_and_shape("score_threshold", score_threshold.dtype, score_threshold.shape, np.float32, (batch, 1))
    check_type_and_shape("nms_threshold", nms_threshold.dtype, nms_threshold.shape, np.float32, (batch, 1))
    wide = [np.ascontiguousarray(array, np.float32) for array in (logits, deltas)]
    inputs = [
        np.ascontiguousarray(array) for array in (proposals, num_proposals, image_sizes, score_threshold, nms_threshold)
    ]
    shape = (batch, attributes.max_detections)
    outputs = (
        np.empty(batch, np.int32),
        np.empty((*shape, 4), np.float32),
        np.empty(shape, np.float32),
        np.empty(shape, np.int32),
    )
    call = abi.DetectionsStruct(
        attributes.to_struct(),
        *(batch, proposals.shape[1], logits.shape[1]),
        *(abi.FLOAT32, abi.FLOAT32),
        *(array.ctypes.data for array in (*wide, *inputs, *outputs)),
    )
    host.check_status(host.library().maskrt_host_detections(ctypes.byref(call)))
    return outputs


def check_shapes(
    logits: tuple[int, ...], deltas: tuple[int, ...], proposals: tuple[int, ...], attributes: DetectionAttributes
) -> None:
    """Raise ValueError unless there are two labels or more, and as many logits and deltas as proposals need."""
    rows = proposals[0] * proposals[1] if len(proposals) == 3 else None
    if len(logits) != 2 or logits[1] < 2 or (rows is not None and logits[0] != rows):
        raise ValueError(f"logits must be of shape ({rows}, 2 or more), but their shape is {logits}")
    if deltas != (logits[0], attributes.delta_columns(logits[1])):
        wanted = (logits[0], attributes.delta_columns(logits[1]))
        raise ValueError(f"deltas must be of shape {wanted}, but their shape is {deltas}")
