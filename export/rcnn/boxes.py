"""Box arithmetic of the export graph; boxes are `[..., 4]` float32 xyxy in canvas pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from maskrt.export.rcnn.spec import BoxCoder


def decode_boxes(coder: BoxCoder, deltas: Tensor, boxes: Tensor) -> Tensor:
    """Move boxes by deltas (dx, dy, dw, dh); both `[..., 4]`, and they broadcast.

    The order of operations is that of torchvision's `BoxCoder.decode_single`.
    """
    widths = boxes[..., 2] - boxes[..., 0]
    heights = boxes[..., 3] - boxes[..., 1]
    center_x = boxes[..., 0] + 0.5 * widths
    center_y = boxes[..., 1] + 0.5 * heights
    dx, dy = (_weighted(coder, deltas, i) for i in (0, 1))
    dw, dh = (
        torch.clamp(_weighted(coder, deltas, i), min=coder.min_log_scale, max=coder.max_log_scale) for i in (2, 3)
    )
    x, y = dx * widths + center_x, dy * heights + center_y
    half_width, half_height = 0.5 * (torch.exp(dw) * widths), 0.5 * (torch.exp(dh) * heights)
    return torch.stack((x - half_width, y - half_height, x + half_width, y + half_height), dim=-1)


def _weighted(coder: BoxCoder, deltas: Tensor, i: int) -> Tensor:
    weight = coder.weights[i]
    return deltas[..., i] / weight if coder.operation == "divide" else deltas[..., i] * weight


def clip_boxes(boxes: Tensor, limits: Tensor) -> Tensor:
    """Move boxes `[B, N, 4]` inside images; `limits` `[B, 1, 4]` is width, height, width, height."""
    return torch.minimum(boxes.clamp(min=0), limits)
