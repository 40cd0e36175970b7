"""The keypoints of the shapes: the outermost points of what is visible, as in extreme clicking (Papadopoulos 2017)."""

from __future__ import annotations

import numpy as np

KEYPOINT_NAMES = ("leftmost", "topmost", "rightmost", "bottommost")

SIGMAS = (0.05,) * len(KEYPOINT_NAMES)
"""How exact they are for OKS, as a share of the object's size; of COCO's keypoints, between a nose and a wrist."""


def extreme_points(masks: np.ndarray) -> np.ndarray:
    """Find the extreme points of masks `[N, H, W]` bool, none of them empty.

    Where several pixels lie equally far out, it is the middle of them.

    Returns:
        `[N, 4, 3]` float32: x and y in pixels, at the centres of pixels, and a visibility of 2, as COCO calls it.
    """
    points = np.full((len(masks), len(KEYPOINT_NAMES), 3), 2, np.float32)
    for mask, found in zip(masks, points, strict=True):
        y, x = np.nonzero(mask)
        for point, outermost in zip(found, (x == x.min(), y == y.min(), x == x.max(), y == y.max()), strict=True):
            point[:2] = x[outermost].mean() + 0.5, y[outermost].mean() + 0.5
    return points
