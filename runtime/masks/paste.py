"""Pasting M x M mask probabilities into the image: torchvision's pixels without torchvision's canvas.

torchvision (`models/detection/roi_heads.py`, `paste_masks_in_image`) pads the mask by one zero pixel, grows
the box by (M + 2) / M, truncates it to integers, resizes the mask bilinearly to the box and writes it into an
image-sized float canvas; thresholding at 0.5 gives the binary mask. Here no canvas is made. Along one image
column the resized mask is piecewise linear in y, with one piece between each pair of neighbouring mask rows,
so it crosses 0.5 at most once per piece: the crossings are solved for all columns at once and are the ends of
the COCO runs. Cost and memory grow with (M + 2) x box width, not with the box area or the image area.

Exactness: coordinates and weights follow torch's float32 arithmetic, and each solved crossing is checked by
evaluating the float32 interpolation in the rows on both sides of it. Only pixels whose pasted value differs
from 0.5 by less than 1e-6 may differ from torchvision's.

Threads do not help: the operations are sized for the cache, and handing Python's lock over between two threads takes as
long as one of them (`tools/cores.py`). Pasting overlaps with the model instead (`pipeline.py`).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from maskrt.runtime.masks.rle import counts_to_mask
from maskrt.runtime.transforms.filters.bilinear import source_coordinates

THRESHOLD = 0.5
# Columns worked on at once: 30 x 4096 float32 values are 0.5 MB, which the level-2 cache holds.
_COLUMNS_AT_ONCE = 4096
# No image is so large; keeps the conversion of absurd boxes to integers defined.
_COORDINATE_LIMIT = float(1 << 31)


class _Regions(NamedTuple):
    """Where each of N masks goes. All arrays [N], in pixels of the image; ends are exclusive."""

    left: np.ndarray  # int64, of the grown box, may lie outside of the image
    top: np.ndarray
    scale_x: np.ndarray  # float32, padded mask pixels per image pixel
    scale_y: np.ndarray
    clipped_left: np.ndarray  # int64, of the part inside the image
    clipped_top: np.ndarray
    clipped_width: np.ndarray
    clipped_height: np.ndarray
    first_rows: np.ndarray  # [N, M + 3] int64: first row of the box whose upper mask row is k


class _Crossings(NamedTuple):
    """The pixels at which a mask column changes between background and foreground, in column order.

    A column starts as background; an even number of crossings of a column may share a row and cancel out.
    """

    instance: np.ndarray  # int64
    column: np.ndarray  # int64, relative to the clipped region
    row: np.ndarray  # int64, relative to the clipped region, up to and including its height


def paste_counts(
    boxes: np.ndarray, mask_probabilities: np.ndarray, image_size: tuple[int, int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Paste masks as COCO run lengths of the whole image.

    Args:
        boxes: [N, 4] float32 xyxy in image pixels; may reach beyond the image.
        mask_probabilities: [N, M, M] float32.
        image_size: (height, width).

    Yields:
        `(counts, lengths)` for some of the instances at a time, in their order: all run lengths one after the
        other (int64), and how many belong to each instance. `rle.compress_counts` takes exactly these.
    """
    height, width = image_size
    for regions, padded in _groups(boxes, mask_probabilities, image_size):
        crossings = _find_crossings(regions, padded)
        x = regions.clipped_left[crossings.instance] + crossings.column
        y = regions.clipped_top[crossings.instance] + crossings.row
        yield _run_lengths(crossings.instance, x * height + y, np.full(len(padded), height * width, dtype=np.int64))


def paste_crops(
    boxes: np.ndarray, mask_probabilities: np.ndarray, image_size: tuple[int, int]
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Paste masks into just the part of the image that each can touch.

    Args: as for `paste_counts`.

    Yields:
        For each instance `(left, top, mask)`: the image pixel of the region's corner and the bool region
        [h, w], which lies inside the image and may be empty. The pixels are those of `paste_counts`.
    """
    for regions, padded in _groups(boxes, mask_probabilities, image_size):
        crossings = _find_crossings(regions, padded)
        position = crossings.column * regions.clipped_height[crossings.instance] + crossings.row
        areas = regions.clipped_width * regions.clipped_height
        counts, lengths = _run_lengths(crossings.instance, position, areas)
        start = 0
        for i, length in enumerate(lengths.tolist()):
            size = int(regions.clipped_height[i]), int(regions.clipped_width[i])
            yield (
                int(regions.clipped_left[i]),
                int(regions.clipped_top[i]),
                counts_to_mask(counts[start : start + length], *size),
            )
            start += length


def _groups(
    boxes: np.ndarray, mask_probabilities: np.ndarray, image_size: tuple[int, int]
) -> Iterator[tuple[_Regions, np.ndarray]]:
    """Split the instances into consecutive groups of at most `_COLUMNS_AT_ONCE` columns (or one instance)."""
    regions = _locate(boxes, mask_probabilities.shape[-1], image_size)
    start, columns = 0, 0
    for end, width in enumerate(regions.clipped_width.tolist()):
        if columns + width > _COLUMNS_AT_ONCE and end > start:
            yield _group(regions, mask_probabilities, start, end)
            start, columns = end, 0
        columns += width
    if start < len(boxes):
        yield _group(regions, mask_probabilities, start, len(boxes))


def _group(regions: _Regions, mask_probabilities: np.ndarray, start: int, end: int) -> tuple[_Regions, np.ndarray]:
    padded = np.pad(mask_probabilities[start:end].astype(np.float32, copy=False), ((0, 0), (1, 1), (1, 1)))
    return _Regions(*(values[start:end] for values in regions)), padded


def _locate(boxes: np.ndarray, mask_size: int, image_size: tuple[int, int]) -> _Regions:
    """`expand_masks`, `expand_boxes` and the integer arithmetic of `paste_mask_in_image`, for all boxes."""
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
    return _Regions(
        left,
        top,
        scale_x,
        scale_y,
        clipped_left,
        clipped_top,
        clipped_width,
        clipped_height,
        _first_rows(scale_y, box_height, padded_size),
    )


def _first_rows(scale: np.ndarray, box_height: np.ndarray, padded_size: int) -> np.ndarray:
    """[N, padded_size + 1] int64: the first box row whose upper mask row is k or later, for k = 0 ... ."""
    k = np.arange(padded_size + 1)
    rows = np.ceil((k + 0.5) / scale[:, None].astype(np.float64) - 0.5).astype(np.int64)
    # The float32 coordinate may fall on the other side of k than the real number.
    rows -= source_coordinates(rows - 1, scale[:, None]) >= k
    rows += source_coordinates(rows, scale[:, None]) < k
    rows[:, 0] = 0
    return np.minimum(rows, box_height[:, None])


@np.errstate(invalid="ignore", over="ignore")  # a mask that holds NaN or infinity gives some mask, no warning
def _find_crossings(regions: _Regions, padded: np.ndarray) -> _Crossings:
    """Solve for the crossings of all columns of all masks of a group ([n, M + 2, M + 2] float32)."""
    size = padded.shape[-1]
    instance = np.repeat(np.arange(len(padded)), regions.clipped_width)
    ends = np.cumsum(regions.clipped_width)
    column = np.arange(len(instance)) - np.repeat(ends - regions.clipped_width, regions.clipped_width)

    # Interpolate along x first, as torch does: profiles[c, k] is mask row k at image column c.
    pixels = column + (regions.clipped_left - regions.left)[instance]
    source = source_coordinates(pixels, regions.scale_x[instance])
    k = np.minimum(source.astype(np.int64), size - 1)
    weight = np.clip(source - k.astype(np.float32), np.float32(0), np.float32(1))[:, None]
    mask_columns = padded.transpose(0, 2, 1).reshape(-1, size)
    first = instance * size + k
    profiles = mask_columns[first]
    profiles *= np.float32(1) - weight
    second = mask_columns[first + (k < size - 1)]
    second *= weight
    profiles += second

    above = profiles > np.float32(THRESHOLD)
    crossed = np.flatnonzero(above[:, 1:] != above[:, :-1])
    at, k = np.divmod(crossed, size - 1)
    flat = crossed + at  # index of mask row k in profiles
    upper, lower = profiles.ravel()[flat], profiles.ravel()[flat + 1]
    instance, column = instance[at], column[at]
    row = _solve_rows(regions, instance, k, upper, lower)
    row += (regions.top - regions.clipped_top)[instance]
    return _Crossings(instance, column, np.clip(row, 0, regions.clipped_height[instance]))


def _solve_rows(
    regions: _Regions, instance: np.ndarray, k: np.ndarray, upper: np.ndarray, lower: np.ndarray
) -> np.ndarray:
    """The first box row on the lower side of each crossing between mask rows k and k + 1."""
    scale = regions.scale_y[instance]
    first, end = regions.first_rows[instance, k], regions.first_rows[instance, k + 1]
    fraction = (THRESHOLD - upper.astype(np.float64)) / (lower - upper)
    solved = np.ceil((k + fraction + 0.5) / scale - 0.5)
    row = np.clip(np.nan_to_num(solved), first, end).astype(np.int64)

    lower_above = lower > np.float32(THRESHOLD)

    def is_past(rows: np.ndarray) -> np.ndarray:
        weight = source_coordinates(rows, scale) - k.astype(np.float32)
        value = upper * (np.float32(1) - weight) + lower * weight
        return (value > np.float32(THRESHOLD)) == lower_above

    back = (row > first) & is_past(row - 1)
    forward = (row < end) & ~is_past(row)
    return row - back + forward


def _run_lengths(instance: np.ndarray, position: np.ndarray, areas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn crossings at column-major pixel positions into run lengths, `areas[i]` pixels for instance i."""
    bases = np.cumsum(areas + 1) - (areas + 1)  # + 1: a crossing at the very end stays with its instance
    keys = _cancel_pairs(bases[instance] + position)
    keys = keys[~np.isin(keys, bases + areas)]  # a run that lasts to the end has no crossing behind it
    numbers = np.diff(np.searchsorted(keys, np.append(bases, bases[-1] + areas[-1] + 1)))

    lengths = numbers + 1
    last = np.cumsum(lengths) - 1
    ends = np.empty(len(keys) + len(areas), dtype=np.int64)
    is_last = np.zeros(len(ends), dtype=bool)
    is_last[last] = True
    ends[is_last] = bases + areas
    ends[~is_last] = keys
    counts = np.diff(ends, prepend=0)
    counts[last[:-1] + 1] -= 1  # the base of an instance lies one behind the end of the one before
    return counts, lengths


def _cancel_pairs(keys: np.ndarray) -> np.ndarray:
    """Drop equal neighbours of a sorted array in pairs: two changes at one pixel are none."""
    changes = np.flatnonzero(np.diff(keys)) + 1
    if len(changes) + 1 >= len(keys):
        return keys
    starts = np.concatenate(([0], changes))
    odd = np.diff(np.append(starts, len(keys))) & 1
    return keys[starts[odd == 1]]
