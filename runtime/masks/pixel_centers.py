"""detectron2's pasting, and mmdetection's: `paste_masks_in_image` with `grid_sample`, bilinear, zeros outside.

Each pixel's centre is mapped into the mask by its place in the box, whose coordinates are not rounded; what is not less
than the threshold belongs to the object. The bits are those of torch's CPU kernel (`GridSamplerKernel.cpp`), which
fuses multiplications with additions where the processor can, as all that have AVX2 do. As on a CPU there, no pixel
further than one from the box is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskrt.runtime.masks.placement import Crossing, Placement

# No image is so large; keeps the conversion of absurd boxes to integers defined.
_COORDINATE_LIMIT = float(1 << 31)


@dataclass(frozen=True)
class PixelCenters(Placement):
    """Masks sampled at pixel centres.

    Attributes:
        x1, y1: [N] float32, the box's upper left corner, in image pixels.
        box_width, box_height: [N] float32.
    """

    x1: np.ndarray
    y1: np.ndarray
    box_width: np.ndarray
    box_height: np.ndarray

    @staticmethod
    def is_inside(values: np.ndarray, threshold: np.float32) -> np.ndarray:
        """See `Placement.is_inside`."""
        return values >= threshold

    def mask_columns(self, instance: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Placement.mask_columns`."""
        mask_size = self.first_rows.shape[1] - 3
        source = _mask_positions(x, self.x1[instance], self.box_width[instance], mask_size)
        whole = np.floor(source)
        weight = source - whole
        weight[whole < -1] = 0  # left of the padding there is nothing, either
        return np.clip(whole, -1, mask_size).astype(np.int64) + 1, weight

    def image_rows(self, instance: np.ndarray, row: np.ndarray) -> np.ndarray:
        """See `Placement.image_rows`."""
        mask_size = self.first_rows.shape[1] - 3
        return _image_rows(row, self.y1[instance], self.box_height[instance], mask_size)

    def values(self, padded: np.ndarray, crossing: Crossing, y: np.ndarray) -> np.ndarray:
        """See `Placement.values`."""
        instance, row, column, right = crossing[:4]
        mask_size = padded.shape[-1] - 2
        source = _mask_positions(y, self.y1[instance], self.box_height[instance], mask_size)
        down = source - (row - 1).astype(np.float32)
        left, up = np.float32(1) - right, np.float32(1) - down
        next_row, next_column = row + 1, np.minimum(column + 1, mask_size + 1)
        value = padded[instance, row, column] * (up * left)
        value = _multiply_add(padded[instance, row, next_column], up * right, value)
        value = _multiply_add(padded[instance, next_row, column], down * left, value)
        return _multiply_add(padded[instance, next_row, next_column], down * right, value)


@np.errstate(over="ignore", invalid="ignore")
def place(boxes: np.ndarray, mask_size: int, image_size: tuple[int, int]) -> PixelCenters:
    """Do the integer arithmetic of `_do_paste_mask`, for all boxes.

    Args:
        boxes: [N, 4] float32 xyxy in image pixels; those with a coordinate that is not finite, or with a negative side,
            get no pixels.
        mask_size: M.
        image_size: (height, width).
    """
    height, width = image_size
    x1, y1, x2, y2 = boxes.astype(np.float32, copy=False).T
    box_width, box_height = x2 - x1, y2 - y1
    valid = np.isfinite((*boxes.T, box_width, box_height)).all(axis=0) & (box_width >= 0) & (box_height >= 0)
    edges = np.stack((np.floor(x1) - 1, np.floor(y1) - 1, np.ceil(x2) + 1, np.ceil(y2) + 1))
    edges = np.where(valid, np.clip(edges, -_COORDINATE_LIMIT, _COORDINATE_LIMIT), 0)
    left, top, right, bottom = edges.astype(np.int64)
    left, top = np.maximum(left, 0), np.maximum(top, 0)
    clipped_width = np.maximum(np.minimum(right, width) - left, 0)
    clipped_height = np.maximum(np.minimum(bottom, height) - top, 0)
    empty = ~valid | (clipped_width == 0) | (clipped_height == 0)
    clipped_width[empty] = clipped_height[empty] = 0

    # The first row whose position in the mask is that of padded row k: k - 1, and the last one's end.
    k = np.arange(mask_size + 3)
    low, high = top[:, None], (top + clipped_height)[:, None]
    start, extent = y1[:, None], box_height[:, None]
    rows = np.clip(np.nan_to_num(_image_rows(k, start, extent, mask_size)), low, high).astype(np.int64)
    # The float32 position may fall on the other side of k than the real number.
    rows -= _mask_positions(rows - 1, start, extent, mask_size) >= k - 1
    rows += _mask_positions(rows, start, extent, mask_size) < k - 1
    rows[:, 0] = top
    first_rows = np.clip(rows, low, high)
    return PixelCenters(left, top, clipped_width, clipped_height, first_rows, x1, y1, box_width, box_height)


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def _mask_positions(pixels: np.ndarray, start: np.ndarray, extent: np.ndarray, mask_size: int) -> np.ndarray:
    """Find where the centres of image pixels lie in the mask, float32: pixel i of the mask is at i.

    A side of 0 puts every pixel at infinity, or nowhere, for which mmdetection takes the middle of the mask; detectron2
    drops such boxes.
    """
    grid = (pixels.astype(np.float32) + np.float32(0.5) - start) / extent * np.float32(2) - np.float32(1)
    grid = np.where(np.isfinite(grid), grid, np.float32(0))
    return _multiply_add(grid + np.float32(1), np.float32(mask_size / 2), np.float32(-0.5))


def _image_rows(rows: np.ndarray, start: np.ndarray, extent: np.ndarray, mask_size: int) -> np.ndarray:
    """Find the first image rows at rows of the padded mask, float64; with a side of 0 before all, or behind."""
    inside = rows - 0.5
    middle = np.where(inside <= mask_size / 2, -np.inf, np.inf)
    return np.where(extent == 0, middle, np.ceil(start + inside / mask_size * extent.astype(np.float64) - 0.5))


def _multiply_add(a: np.ndarray, b: np.ndarray | np.float32, c: np.ndarray | np.float32) -> np.ndarray:
    """Compute a * b + c in float32, rounded once: the float64 product is exact, its sum as good as that."""
    return np.add(np.multiply(a, b, dtype=np.float64), c).astype(np.float32)
