"""What the demo model computes on its way through a picture, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Steps:
    """What the demo model computes for a picture, in the order in which it does.

    Attributes:
        picture: `[H, W, 3]` uint8 RGB.
        canvas: the same, resized: `[h, w, 3]` uint8 RGB.
        features: the FPN's maps, finest first, `[C, H, W]`.
        objectness: of each map, the probability of an object: `[anchors, H, W]`.
        proposals: `[R, 4]` xyxy in canvas pixels, best first.
        boxes: the detections', `[K, 4]` xyxy in canvas pixels, best first.
        scores, labels: of the detections.
        masks: of each detection and class, the probability of its pixels: `[K, L, 28, 28]`.
        heatmaps: of each detection and keypoint, the probability of each place: `[K, N, 56, 56]`.
        keypoints: x and y in canvas pixels, `[K, N, 2]`.
    """

    picture: np.ndarray
    canvas: np.ndarray
    features: Sequence[np.ndarray]
    objectness: Sequence[np.ndarray]
    proposals: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    heatmaps: np.ndarray
    keypoints: np.ndarray

    def stride(self, level: int) -> int:
        """Return how many canvas pixels a pixel of a feature map stands for, in each direction."""
        return 4 << level

    def level_of(self, box: np.ndarray) -> int:
        """Return the map that a box is pooled from: equation 1 of the FPN (Lin et al. 2017), from P2."""
        size = float(np.sqrt(np.prod(box[2:] - box[:2])))
        return int(np.clip(np.floor(4 + np.log2(size / 224)), 2, 5)) - 2


@torch.no_grad()
def run_steps(model: Any, picture: np.ndarray) -> Steps:
    """Run the demo model with keypoints on a picture `[H, W, 3]` uint8 RGB, and keep what it computes."""
    images, _ = model.transform([torch.from_numpy(picture).permute(2, 0, 1).float() / 255])
    (size,) = images.image_sizes
    features = model.backbone(images.tensors)
    objectness, _ = model.rpn.head(list(features.values()))
    proposals, _ = model.rpn(images, features)
    heads = model.roi_heads
    (found,), _ = heads(features, proposals, images.image_sizes)
    rois = features, [found["boxes"]], images.image_sizes
    logits = mask_logits(heads, *rois)
    heatmaps = heads.keypoint_predictor(heads.keypoint_head(heads.keypoint_roi_pool(*rois)))
    arrays = {name: value.numpy() for name, value in found.items()}
    return Steps(
        picture,
        cv2.resize(picture, (size[1], size[0]), interpolation=cv2.INTER_LINEAR),
        [feature[0].numpy() for feature in features.values()],
        [values[0].sigmoid().numpy() for values in objectness],
        proposals[0].numpy(),
        arrays["boxes"],
        arrays["scores"],
        arrays["labels"],
        logits.sigmoid().numpy(),
        heatmaps.flatten(2).softmax(dim=2).reshape(heatmaps.shape).numpy(),
        arrays["keypoints"][:, :, :2],
    )


def mask_logits(
    heads: Any, features: dict[str, Tensor], boxes: list[Tensor], image_sizes: list[tuple[int, int]]
) -> Tensor:
    """Run RoIAlign of the mask head and the mask head: `[K, L, 28, 28]`."""
    logits: Tensor = heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(features, boxes, image_sizes)))
    return logits
