"""detectron2's sizes: `ResizeShortestEdge` (`data/transforms/augmentation_impl.py`)."""

from maskrt.contract.pipeline import Resize
from maskrt.runtime.transforms.boxes import resize_boxes
from maskrt.runtime.transforms.sizes.base import SizeRule


def new_size(height: int, width: int, policy: Resize) -> tuple[int, int]:
    """Scale in float64, the longer side a second time if it got too long; round each side to nearest.

    A `min_size` of 0 leaves images as they are, whatever `max_size` is. Where detectron2 would round a side of a very
    long and thin image to 0 pixels and fail, it stays 1.
    """
    if policy.min_size == 0:
        return height, width
    scale = policy.min_size / min(height, width)
    # The shorter side is `min_size` itself, not a product that may be rounded.
    sides = (float(policy.min_size), scale * width) if height < width else (scale * height, float(policy.min_size))
    if max(sides) > policy.max_size:
        again = policy.max_size / max(sides)
        sides = sides[0] * again, sides[1] * again
    return max(int(sides[0] + 0.5), 1), max(int(sides[1] + 0.5), 1)


RULE = SizeRule(new_size, resize_boxes)
