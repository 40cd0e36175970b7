"""Pasting M x M mask probabilities into the image: the framework's pixels without the framework's canvas.

The frameworks resize a mask to its box in a float canvas of the size of the image, and compare that with a threshold.
Here no canvas is made. Along one image column the resized mask is piecewise linear in y, with one piece between each
pair of neighbouring mask rows, so it crosses the threshold at most once per piece: the crossings are solved for all
columns at once and are the ends of the COCO runs. Cost and memory grow with (M + 2) x box width, not with the box area
or the image area.

Exactness: where the pixels lie in the mask, and how it is interpolated, is the paste rule's (`integer_box`,
`pixel_centers`), in the framework's float32 arithmetic. Each solved crossing is checked by evaluating that in the rows
on both sides of it. Only pixels whose pasted value differs from the threshold by less than 1e-6 may differ from the
framework's.

Threads do not help: the operations are sized for the cache, and handing Python's lock over between two threads takes as
long as one of them (`tools/cores.py`). Pasting overlaps with the model instead (`pipeline.py`).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from maskrt.contract.pipeline import Paste
from maskrt.runtime.masks import integer_box, pixel_centers
from maskrt.runtime.masks.placement import Crossing, Placement
from maskrt.runtime.masks.rle import counts_to_mask

PASTE_RULES: Mapping[str, Callable[[np.ndarray, int, tuple[int, int]], Placement]] = {
    "integer_box": integer_box.place,
    "pixel_centers": pixel_centers.place,
}
"""By the names of `contract.pipeline.PasteRule`: boxes, M and (height, width) of the image to a placement."""

PasteCounts = Callable[[np.ndarray, np.ndarray, tuple[int, int], Paste], Iterator[tuple[np.ndarray, np.ndarray]]]
"""What `paste_counts` is, here or on another device."""

# Columns worked on at once: 30 x 4096 float32 values are 0.5 MB, which the level-2 cache holds.
_COLUMNS_AT_ONCE = 4096


class _Changes(NamedTuple):
    """The pixels at which an image column changes between background and foreground, in column order.

    A column starts as background; an even number of changes of a column may share a row and cancel out.
    """

    instance: np.ndarray  # int64
    column: np.ndarray  # int64, relative to the part of the image that the mask can touch
    row: np.ndarray  # int64, relative to that part, up to and including its height


def paste_counts(
    boxes: np.ndarray, mask_probabilities: np.ndarray, image_size: tuple[int, int], paste: Paste
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Paste masks as COCO run lengths of the whole image.

    Args:
        boxes: [N, 4] float32 xyxy in image pixels; may reach beyond the image.
        mask_probabilities: [N, M, M] float32.
        image_size: (height, width).
        paste: rule and threshold of the model.

    Yields:
        `(counts, lengths)` for some of the instances at a time, in their order: all run lengths one after the
        other (int64), and how many belong to each instance. `rle.compress_counts` takes exactly these.
    """
    height, width = image_size
    for placement, changes in _groups(boxes, mask_probabilities, image_size, paste):
        x = placement.left[changes.instance] + changes.column
        y = placement.top[changes.instance] + changes.row
        areas = np.full(len(placement.left), height * width, dtype=np.int64)
        yield _run_lengths(changes.instance, x * height + y, areas)


def paste_crops(
    boxes: np.ndarray, mask_probabilities: np.ndarray, image_size: tuple[int, int], paste: Paste
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Paste masks into just the part of the image that each can touch.

    Args: as for `paste_counts`.

    Yields:
        For each instance `(left, top, mask)`: the image pixel of the corner of the part, and the bool mask [h, w],
        which lies inside the image and may be empty. The pixels are those of `paste_counts`.
    """
    for placement, changes in _groups(boxes, mask_probabilities, image_size, paste):
        position = changes.column * placement.height[changes.instance] + changes.row
        counts, lengths = _run_lengths(changes.instance, position, placement.width * placement.height)
        start = 0
        for i, length in enumerate(lengths.tolist()):
            size = int(placement.height[i]), int(placement.width[i])
            mask = counts_to_mask(counts[start : start + length], *size)
            yield int(placement.left[i]), int(placement.top[i]), mask
            start += length


def _groups(
    boxes: np.ndarray, mask_probabilities: np.ndarray, image_size: tuple[int, int], paste: Paste
) -> Iterator[tuple[Placement, _Changes]]:
    """Work on consecutive groups of instances of at most `_COLUMNS_AT_ONCE` columns (or one instance)."""
    whole = PASTE_RULES[paste.rule](boxes, mask_probabilities.shape[-1], image_size)
    threshold = np.float32(paste.threshold)
    for some in _slices(whole.width):
        placement = whole[some]
        padded = np.pad(mask_probabilities[some].astype(np.float32, copy=False), ((0, 0), (1, 1), (1, 1)))
        yield placement, _find_changes(placement, padded, threshold)


def _slices(widths: np.ndarray) -> Iterator[slice]:
    start, columns = 0, 0
    for end, width in enumerate(widths.tolist()):
        if columns + width > _COLUMNS_AT_ONCE and end > start:
            yield slice(start, end)
            start, columns = end, 0
        columns += width
    if start < len(widths):
        yield slice(start, len(widths))


@np.errstate(invalid="ignore", over="ignore")  # a mask that holds NaN or infinity gives some mask, no warning
def _find_changes(placement: Placement, padded: np.ndarray, threshold: np.float32) -> _Changes:
    """Solve for the changes of all columns of all masks of a group ([n, M + 2, M + 2] float32)."""
    size = padded.shape[-1]
    instance = np.repeat(np.arange(len(padded)), placement.width)
    ends = np.cumsum(placement.width)
    column = np.arange(len(instance)) - np.repeat(ends - placement.width, placement.width)
    if placement.is_inside(np.zeros(1, np.float32), threshold)[0]:  # the threshold is 0: all that a mask can touch
        row = np.stack((np.zeros_like(instance), placement.height[instance]), axis=1).ravel()
        return _Changes(instance.repeat(2), column.repeat(2), row)

    # Interpolate along x first, as the frameworks do: profiles[c, k] is mask row k at image column c.
    k, weight = placement.mask_columns(instance, column + placement.left[instance])
    right = weight[:, None]
    mask_columns = padded.transpose(0, 2, 1).reshape(-1, size)
    first = instance * size + k
    profiles = mask_columns[first]
    profiles *= np.float32(1) - right
    second = mask_columns[first + (k < size - 1)]
    second *= right
    profiles += second

    inside = placement.is_inside(profiles, threshold)
    crossed = np.flatnonzero(inside[:, 1:] != inside[:, :-1])
    at, row = np.divmod(crossed, size - 1)
    flat = crossed + at  # index of mask row k in profiles
    crossing = Crossing(instance[at], row, k[at], weight[at], profiles.ravel()[flat], profiles.ravel()[flat + 1])
    image_row = _solve(placement, padded, crossing, threshold) - placement.top[crossing.instance]
    return _Changes(crossing.instance, column[at], np.clip(image_row, 0, placement.height[crossing.instance]))


def _solve(placement: Placement, padded: np.ndarray, crossing: Crossing, threshold: np.float32) -> np.ndarray:
    """[P] int64: the first image row on the lower side of each crossing."""
    instance, k, upper, lower = crossing.instance, crossing.row, crossing.upper, crossing.lower
    first, end = placement.first_rows[instance, k], placement.first_rows[instance, k + 1]
    fraction = (float(threshold) - upper.astype(np.float64)) / (lower - upper)
    solved = placement.image_rows(instance, k + fraction)
    row = np.clip(np.nan_to_num(solved, nan=-np.inf), first, end).astype(np.int64)

    lower_inside = placement.is_inside(lower, threshold)

    def is_past(rows: np.ndarray) -> np.ndarray:
        return placement.is_inside(placement.values(padded, crossing, rows), threshold) == lower_inside

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
