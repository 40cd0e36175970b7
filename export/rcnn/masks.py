"""The masks of detections, in the export graph (He et al. 2017)."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence

import torch
from torch import Tensor

from maskrt.export.rcnn.detections import Detected
from maskrt.export.rcnn.spec import DetectionRule, MaskHead


def mask_probabilities(rule: DetectionRule, head: MaskHead, logits: Sequence[Tensor], detected: Detected) -> Tensor:
    """Choose the mask of the detected class.

    Args:
        rule, head: the spec.
        logits: of each head `[B*K, L, M, M]`, or fewer, as the spec says.
        detected: the detections that they belong to.

    Returns:
        `[B, K, M, M]` float32, zero past the last detection.
    """
    if head.class_agnostic:
        channel = torch.zeros_like(detected.labels)
    elif rule.background == "first":
        channel = detected.labels
    else:
        channel = (detected.labels - 1).clamp(min=0)  # rows that do not exist have label 0
    index = channel.flatten().to(torch.int64)[:, None, None, None].expand(-1, 1, *logits[0].shape[-2:])
    each = [torch.sigmoid(torch.gather(of_head, 1, index)) for of_head in logits]
    masks = each[0] if len(each) == 1 else functools.reduce(operator.add, each) / len(each)
    masks = masks.squeeze(1).unflatten(0, detected.labels.shape)
    return torch.where(detected.valid[..., None, None], masks, 0.0)
