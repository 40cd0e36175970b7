"""From what the box head says of each proposal to detections, in the export graph."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from maskrt.export.ops.nms import batched_nms
from maskrt.export.rcnn.boxes import clip_boxes, decode_boxes, gather_rows, is_large_enough
from maskrt.export.rcnn.spec import BoxHead, DetectionRule


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


def detect(
    rule: DetectionRule,
    head: BoxHead,
    scores: Tensor,
    deltas: Tensor,
    proposals: Tensor,
    is_proposal: Tensor,
    limits: Tensor,
    score_threshold: Tensor,
    nms_threshold: Tensor,
) -> Detected:
    """Choose detections among the boxes of all classes.

    Args:
        rule, head: the spec.
        scores: `[B*R, L]`, L labels.
        deltas: `[B*R, 4L]`, or fewer, as the spec says.
        proposals: what the deltas move, `[B, R, 4]` xyxy in canvas pixels.
        is_proposal: which of them exist `[B, R]`.
        limits: of each image `[B, 1, 4]`: width, height, width, height.
        score_threshold, nms_threshold: `[B, 1]` float32.
    """
    batch, count = proposals.shape[:2]
    first = rule.background == "first"
    foreground = rule.num_labels - 1
    objects = slice(1, None) if first else slice(0, -1)
    scores = scores.unflatten(0, (batch, count))[..., objects]
    rows = 1 if head.class_agnostic else rule.num_labels if first else foreground
    deltas = deltas.unflatten(1, (rows, 4)).unflatten(0, (batch, count))
    if rows == rule.num_labels:
        deltas = deltas[:, :, 1:]
    decoded = decode_boxes(head.coder, deltas, proposals[:, :, None, :])
    if head.class_agnostic:
        decoded = decoded.expand(-1, -1, foreground, -1)
    boxes = clip_boxes(decoded.flatten(1, 2), limits)
    exists = is_proposal[..., None].expand(-1, -1, foreground).flatten(1)
    if rule.min_side is not None:
        exists = exists & is_large_enough(boxes, rule.min_side)
    scores = torch.where(exists, scores.flatten(1), -1.0)
    labels = torch.arange(1, rule.num_labels, dtype=torch.int32).repeat(batch, count)
    num, index = batched_nms(boxes, scores, labels, nms_threshold, score_threshold, rule.max_detections)
    valid = index >= 0
    row = index.clamp(min=0).to(torch.int64)
    return Detected(
        num,
        torch.where(valid[..., None], gather_rows(boxes, row), 0.0),
        torch.where(valid, torch.gather(scores, 1, row), 0.0),
        torch.where(valid, torch.gather(labels, 1, row), 0),
        valid,
    )
