"""mmcv's and mmdetection's sizes: `rescale_size` with `keep_ratio` (mmcv's `image/geometric.py`)."""

from maskrt.contract.pipeline import Resize
from maskrt.runtime.transforms.boxes import resize_boxes_by_division
from maskrt.runtime.transforms.sizes.base import SizeRule


def new_size(height: int, width: int, policy: Resize) -> tuple[int, int]:
    """Scale in float64, round each side to nearest.

    Where mmcv would round a side of a very long and thin image to 0 pixels and fail, it stays 1.
    """
    scale = min(policy.max_size / max(height, width), policy.min_size / min(height, width))
    return max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)


RULE = SizeRule(new_size, resize_boxes_by_division)
