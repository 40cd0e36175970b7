"""The keypoints of detections, in the export graph (He et al. 2017, section 5)."""

from __future__ import annotations

import torch
from torch import Tensor

from maskrt.export.ops.keypoints import decode_keypoints
from maskrt.export.rcnn.detections import Detected
from maskrt.export.rcnn.spec import KeypointHead


def locate_keypoints(head: KeypointHead, heatmaps: Tensor, detected: Detected) -> Tensor:
    """Find the keypoints of each detection.

    Args:
        head: the spec.
        heatmaps: `[B*K, N, M, M]` logits.
        detected: the detections that they belong to.

    Returns:
        `[B, K, N, 3]` float32: x, y in canvas pixels, score; zero past the last detection.
    """
    keypoints = decode_keypoints(detected.boxes, heatmaps, head.score == "normalized")
    return torch.where(detected.valid[..., None, None], keypoints, 0.0)
