"""From what the box head says of each proposal to detections, in the export graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from maskrt.export.ops.detections import detection_output
from maskrt.export.rcnn.spec import ANY_SIDE, BoxHead, DetectionRule, StageMean
from maskrt.plugins.detection_attributes import DetectionAttributes
from maskrt.plugins.proposal_attributes import LOWEST


class Detected(NamedTuple):
    """Detections of a batch; rows past `num` are zero.

    Attributes:
        num: `[B]` int32.
        boxes: `[B, K, 4]` float32 xyxy in canvas pixels.
        scores: `[B, K]` float32.
        labels: `[B, K]` int32, the background being 0.
        valid: which rows exist, `[B, K]` bool.
    """

    num: Tensor
    boxes: Tensor
    scores: Tensor
    labels: Tensor
    valid: Tensor


def detection_attributes(rule: DetectionRule, mean_of: StageMean, heads: Sequence[BoxHead]) -> DetectionAttributes:
    """Write the spec as attributes of the operator."""
    coder, min_side = heads[-1].coder, rule.min_side or ANY_SIDE
    return DetectionAttributes(
        activation="none" if mean_of == "scores" and len(heads) > 1 else rule.activation,
        background=rule.background,
        class_agnostic=int(heads[-1].class_agnostic),
        weights=coder.weights,
        weights_operation=coder.operation,
        min_log_scale=LOWEST if coder.min_log_scale is None else coder.min_log_scale,
        max_log_scale=coder.max_log_scale,
        min_side=min_side.pixels,
        min_side_inclusive=int(min_side.inclusive),
        max_detections=rule.max_detections,
    )


def detect(
    attributes: DetectionAttributes,
    logits: Tensor,
    deltas: Tensor,
    proposals: Tensor,
    num_proposals: Tensor,
    image_sizes: Tensor,
    score_threshold: Tensor,
    nms_threshold: Tensor,
) -> Detected:
    """Choose detections among the boxes of all classes.

    Args:
        attributes: of the spec.
        logits: `[B*R, L]`, L labels.
        deltas: `[B*R, 4L]`, or fewer, as the spec says.
        proposals: what the deltas move, `[B, R, 4]` xyxy in canvas pixels.
        num_proposals: how many of them exist `[B]` int32.
        image_sizes: `[B, 2]` int32, the valid height and width of each.
        score_threshold, nms_threshold: `[B, 1]` float32.
    """
    num, boxes, scores, labels = detection_output(
        logits, deltas, proposals, num_proposals, image_sizes, score_threshold, nms_threshold, attributes
    )
    rows = torch.arange(attributes.max_detections, dtype=torch.int32, device=num.device)
    return Detected(num, boxes, scores, labels, rows < num[:, None])
