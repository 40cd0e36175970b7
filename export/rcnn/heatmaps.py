"""From heatmaps to keypoints in plain eager PyTorch, box by box, as detectron2 computes (`heatmaps_to_keypoints`)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from maskrt.export.rcnn.spec import KeypointHead


def find_peaks(head: KeypointHead, heatmaps: Tensor, boxes: Tensor) -> Tensor:
    """Find where each heatmap is highest, once it is stretched over its box.

    Args:
        head: the spec.
        heatmaps: `[R, N, M, M]` logits.
        boxes: `[R, 4]` xyxy in canvas pixels.

    Returns:
        `[R, N, 3]`: x, y in canvas pixels, score.
    """
    found = heatmaps.new_zeros(*heatmaps.shape[:2], 3)
    for keypoints, maps, box in zip(found, heatmaps, boxes, strict=True):
        sides = (box[2:] - box[:2]).clamp(min=1)
        columns, rows = sides.ceil().int().tolist()
        surface = F.interpolate(maps[None], size=(rows, columns), mode="bicubic", align_corners=False)[0].flatten(1)
        place = surface.argmax(dim=1)
        logit = surface.gather(1, place[:, None])
        position = torch.stack((place % columns, place // columns), dim=1)
        keypoints[:, :2] = (position + 0.5) * (sides / sides.ceil()) + box[:2]
        share = 1 / (maps.flatten(1) - logit).exp().sum(dim=1)
        keypoints[:, 2] = share if head.score == "normalized" else logit[:, 0]
    return found
