"""torchvision's sizes: `GeneralizedRCNNTransform` (`models/detection/transform.py`)."""

import math

from maskrt.contract.pipeline import Resize
from maskrt.runtime.transforms.boxes import resize_boxes
from maskrt.runtime.transforms.sizes.base import SizeRule


def new_size(height: int, width: int, policy: Resize) -> tuple[int, int]:
    """Scale in float64, round each side down.

    Where torchvision would round a side of a very long and thin image down to 0 pixels and fail, it stays 1.
    """
    scale = min(policy.min_size / min(height, width), policy.max_size / max(height, width))
    return max(math.floor(height * scale), 1), max(math.floor(width * scale), 1)


RULE = SizeRule(new_size, resize_boxes)
