"""What a model file is worth, and how much of it another one loses.

Whoever quantizes hands in how it is measured: nothing here knows data sets or metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Accuracy:
    """COCO AP, 0–1; `mask` is None for a model without masks, `keypoints` for one without keypoints."""

    box: float
    mask: float | None
    keypoints: float | None = None

    def drop_to(self, other: Accuracy) -> float:
        """How much lower the AP of `other` is: the largest one of boxes, masks and keypoints."""
        drops = [self.box - other.box]
        if self.mask is not None and other.mask is not None:
            drops.append(self.mask - other.mask)
        if self.keypoints is not None and other.keypoints is not None:
            drops.append(self.keypoints - other.keypoints)
        return max(drops)

    def __str__(self) -> str:
        others = (("mask", self.mask), ("keypoint", self.keypoints))
        return f"box AP {self.box:.4f}" + "".join(f", {kind} AP {ap:.4f}" for kind, ap in others if ap is not None)


Measure = Callable[[Path], Accuracy]
"""From a model file to its accuracy, always on the same images. It raises MaskrtError where that cannot be measured."""
