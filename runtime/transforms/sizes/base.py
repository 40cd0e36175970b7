"""What a size rule is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from maskrt.contract.pipeline import Resize


@dataclass(frozen=True)
class SizeRule:
    """From the size of an image to the size that the network sees, and boxes back.

    Attributes:
        new_size: of (height, width) by a resize policy; no side of it is 0.
        boxes_back: boxes [N, 4] float32 xyxy in pixels of (height, width) `size` to those of `original_size`.
    """

    new_size: Callable[[int, int, Resize], tuple[int, int]]
    boxes_back: Callable[[np.ndarray, Sequence[int], Sequence[int]], np.ndarray]
