"""Thresholds as the model file takes them."""

import math

import numpy as np


def round_down_to_float32(value: float) -> np.float32:
    """The largest float32 that is not above `value`.

    torchvision's `nms` compares a float32 IoU with a float64 threshold. Compared with this one in float32, the
    outcome is the same for every IoU.
    """
    nearest = np.float32(value)
    return nearest if float(nearest) <= value else np.nextafter(nearest, np.float32(-math.inf))
