"""Boxes of one picture in pixels of another."""

from __future__ import annotations

import numpy as np


def box_scales(image_size: tuple[int, int], box_image_size: tuple[int, int] | None) -> tuple[float, float]:
    """Compute what y and x of boxes are multiplied with, in float32, as torchvision's `resize_boxes` does it.

    Args:
        image_size: (height, width) of the picture in whose pixels the boxes are wanted.
        box_image_size: (height, width) of the picture in whose pixels they are; None: the same.
    """
    scale_y, scale_x = np.asarray(image_size, np.float32) / np.asarray(box_image_size or image_size, np.float32)
    return float(scale_y), float(scale_x)
