"""torchvision's pasting: `paste_masks_in_image` of `models/detection/roi_heads.py`.

It grows the box by (M + 2) / M, truncates it to integers, resizes the padded mask bilinearly to the box, and takes what
is greater than the threshold. Coordinates and weights follow torch's float32 arithmetic; the order in which it sums is
left open, so that values differ by up to 1e-6.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskrt.runtime.masks.placement import Crossing, Placement
from maskrt.runtime.transforms.filters.bilinear import source_coordinates

# No image is so large; keeps the conversion of absurd boxes to integers defined.
_COORDINATE_LIMIT = float(1 << 31)


@dataclass(frozen=True)
class IntegerBox(Placement):
    """Masks resized to boxes of whole pixels.

    Attributes:
        box_left, box_top: [N] int64, of the grown box, may lie outside of the image.
        scale_x, scale_y: [N] float32, padded mask pixels per image pixel.
    """

    box_left: np.ndarray
    box_top: np.ndarray
    scale_x: np.ndarray
    scale_y: np.ndarray

    @staticmethod
    def is_inside(values: np.ndarray, threshold: np.float32) -> np.ndarray:
        """See `Placement.is_inside`."""
        return values > threshold

    def mask_columns(self, instance: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Placement.mask_columns`."""
        source = source_coordinates(x - self.box_left[instance], self.scale_x[instance])
        last = self.first_rows.shape[1] - 2
        column = np.minimum(source.astype(np.int64), last)
        return column, np.clip(source - column.astype(np.float32), np.float32(0), np.float32(1))

    def image_rows(self, instance: np.ndarray, row: np.ndarray) -> np.ndarray:
        """See `Placement.image_rows`."""
        return np.ceil((row + 0.5) / self.scale_y[instance] - 0.5) + self.box_top[instance]

    def values(self, padded: np.ndarray, crossing: Crossing, y: np.ndarray) -> np.ndarray:
        """See `Placement.values`."""
        box_row = y - self.box_top[crossing.instance]
        weight = source_coordinates(box_row, self.scale_y[crossing.instance]) - crossing.row.astype(np.float32)
        return crossing.upper * (np.float32(1) - weight) + crossing.lower * weight


def place(boxes: np.ndarray, mask_size: int, image_size: tuple[int, int]) -> IntegerBox:
    """Do what `expand_masks`, `expand_boxes` and the integer arithmetic of `paste_mask_in_image` do, for all boxes.

    Args:
        boxes: [N, 4] float32 xyxy in image pixels; those with a coordinate that is not finite get no pixels.
        mask_size: M.
        image_size: (height, width).
    """
    padded_size = mask_size + 2
    half = np.float32(0.5)
    growth = np.float32(padded_size / mask_size)
    x1, y1, x2, y2 = boxes.astype(np.float32, copy=False).T
    with np.errstate(over="ignore", invalid="ignore"):
        half_width, half_height = (x2 - x1) * half * growth, (y2 - y1) * half * growth
        center_x, center_y = (x2 + x1) * half, (y2 + y1) * half
        edges = np.stack((center_x - half_width, center_y - half_height, center_x + half_width, center_y + half_height))
    valid = np.isfinite(edges).all(axis=0)
    edges = np.where(valid, np.clip(edges, -_COORDINATE_LIMIT, _COORDINATE_LIMIT), 0)
    left, top, right, bottom = edges.astype(np.int64)  # truncates towards zero, as torch does
    box_width, box_height = np.maximum(right - left + 1, 1), np.maximum(bottom - top + 1, 1)

    height, width = image_size
    clipped_left, clipped_top = np.maximum(left, 0), np.maximum(top, 0)
    clipped_width = np.maximum(np.minimum(right + 1, width) - clipped_left, 0)
    clipped_height = np.maximum(np.minimum(bottom + 1, height) - clipped_top, 0)
    empty = ~valid | (clipped_width == 0) | (clipped_height == 0)
    clipped_width[empty] = clipped_height[empty] = 0

    scale_x = np.float32(padded_size) / box_width.astype(np.float32)
    scale_y = np.float32(padded_size) / box_height.astype(np.float32)
    first_rows = _first_rows(scale_y, box_height, padded_size) + top[:, None]
    return IntegerBox(clipped_left, clipped_top, clipped_width, clipped_height, first_rows, left, top, scale_x, scale_y)


def _first_rows(scale: np.ndarray, box_height: np.ndarray, padded_size: int) -> np.ndarray:
    """[N, padded_size + 1] int64: the first box row whose upper mask row is k or later, for k = 0 ... ."""
    k = np.arange(padded_size + 1)
    rows = np.ceil((k + 0.5) / scale[:, None].astype(np.float64) - 0.5).astype(np.int64)
    # The float32 coordinate may fall on the other side of k than the real number.
    rows -= source_coordinates(rows - 1, scale[:, None]) >= k
    rows += source_coordinates(rows, scale[:, None]) < k
    rows[:, 0] = 0
    return np.minimum(rows, box_height[:, None])
