"""The stages of a cascade (Cai and Vasconcelos 2018), in the export graph; one head alone is a cascade of one stage."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence

import torch
from torch import Tensor

from maskrt.export.rcnn.boxes import clip_boxes, decode_boxes
from maskrt.export.rcnn.spec import BoxHead, DetectionRule, StageMean


def join_stages(rule: DetectionRule, mean_of: StageMean, logits: Sequence[Tensor]) -> Tensor:
    """Average what the stages say of the proposals.

    Args:
        rule, mean_of: the spec.
        logits: of each stage `[B*R, L]`, L labels.

    Returns:
        `[B*R, L]`: scores, where a cascade averages scores; else logits.
    """
    if len(logits) == 1:
        return logits[0]
    if mean_of == "logits":
        return functools.reduce(operator.add, logits) / len(logits)
    scores = [torch.softmax(x, dim=-1) if rule.activation == "softmax" else torch.sigmoid(x) for x in logits]
    return functools.reduce(operator.add, scores) * (1.0 / len(scores))


def refine_boxes(
    rule: DetectionRule, head: BoxHead, logits: Tensor, deltas: Tensor, boxes: Tensor, limits: Tensor
) -> Tensor:
    """Move boxes by what a stage says of them, for the next stage.

    Where a box has deltas of each class, those of its likeliest class move it.

    Args:
        rule, head: the spec.
        logits: `[B*R, L]`, L labels.
        deltas: `[B*R, 4L]`, or fewer, as the spec says.
        boxes: `[B, R, 4]` xyxy in canvas pixels.
        limits: of each image `[B, 1, 4]`: width, height, width, height.

    Returns:
        `[B, R, 4]`, none of them dropped.
    """
    if not head.class_agnostic:
        first = rule.background == "first"
        objects = logits[:, 1:] if first else logits[:, :-1]
        row = objects.argmax(dim=1) + (1 if first else 0)
        rows = deltas.unflatten(1, (rule.num_labels if first else rule.num_labels - 1, 4))
        deltas = torch.gather(rows, 1, row[:, None, None].expand(-1, 1, 4)).squeeze(1)
    return clip_boxes(decode_boxes(head.coder, deltas.unflatten(0, boxes.shape[:2]), boxes), limits)
