"""Binary masks as runs of foreground: set operations and crops without an image-sized array.

The runs of a mask are an int64 array [R, 2] of half-open ranges of pixel positions, ascending, neither empty nor
touching. A pixel's position is x * height + y, the column order of COCO's run-length encoding (see `rle`). A mask of
some hundred columns is some hundred runs: a few KB, whatever the size of the image.
"""

from collections.abc import Sequence

import numpy as np

from maskrt.runtime.masks.rle import counts_to_mask


def runs_from_counts(counts: np.ndarray) -> np.ndarray:
    """Find the runs of a mask from its COCO run lengths, [C] int64, zeros first."""
    ends = np.cumsum(counts)
    pairs = ends[: len(ends) // 2 * 2].reshape(-1, 2)
    return union([pairs[pairs[:, 0] < pairs[:, 1]]])


def counts_from_runs(runs: np.ndarray, pixels: int) -> np.ndarray:
    """Find the COCO run lengths, int64, zeros first, of a mask in an image of that many pixels."""
    counts = np.diff(np.append(runs.ravel(), pixels), prepend=0)
    return counts if counts[-1] or len(counts) == 1 else counts[:-1]  # a last run of no zeros is not written


def area(runs: np.ndarray) -> int:
    """Count the foreground pixels."""
    return int((runs[:, 1] - runs[:, 0]).sum())


def union(masks: Sequence[np.ndarray]) -> np.ndarray:
    """Find the runs of the pixels that any of the masks has."""
    runs = np.concatenate(masks) if masks else np.empty((0, 2), dtype=np.int64)
    if not len(runs):
        return runs
    runs = runs[np.argsort(runs[:, 0], kind="stable")]
    reached = np.maximum.accumulate(runs[:, 1])
    first = np.flatnonzero(np.append(True, runs[1:, 0] > reached[:-1]))
    return np.stack((runs[first, 0], reached[np.append(first[1:], len(runs)) - 1]), axis=1)


def intersection_area(a: np.ndarray, b: np.ndarray) -> int:
    """Count the pixels that both masks have."""
    return area(a) + area(b) - area(union([a, b]))


def clip(runs: np.ndarray, region: tuple[int, int, int, int], height: int) -> np.ndarray:
    """Find the runs of the pixels inside a region.

    Args:
        runs: [R, 2] of a mask in an image of that height.
        region: (left, top, right, bottom) in pixels, ends exclusive, inside the image.
    """
    left, top, right, bottom = region
    pieces = _split_at_columns(runs, height)
    column = pieces[:, :1] // height
    clipped = np.clip(pieces, column * height + top, column * height + bottom)
    clipped = clipped[((column >= left) & (column < right))[:, 0]]
    return union([clipped[clipped[:, 0] < clipped[:, 1]]])


def crop(runs: np.ndarray, height: int) -> tuple[int, int, np.ndarray]:
    """Cut out `(left, top, mask)`: the smallest bool array [h, w] that holds the whole mask, and its corner's pixel.

    Args:
        runs: [R, 2] of a mask in an image of that height; without runs the array is [0, 0].
    """
    if not len(runs):
        return 0, 0, np.zeros((0, 0), dtype=bool)
    pieces = _split_at_columns(runs, height)
    column = pieces[:, 0] // height
    rows = pieces - (column * height)[:, None]
    left, top = int(column[0]), int(rows[:, 0].min())
    crop_width, crop_height = int(column[-1]) + 1 - left, int(rows[:, 1].max()) - top
    inside = union([rows - top + ((column - left) * crop_height)[:, None]])
    counts = counts_from_runs(inside, crop_width * crop_height)
    return left, top, counts_to_mask(counts, crop_height, crop_width)


def _split_at_columns(runs: np.ndarray, height: int) -> np.ndarray:
    """Find the same pixels as ranges, [P, 2], that each lie in one column."""
    first = runs[:, 0] // height
    columns = (runs[:, 1] - 1) // height - first + 1
    run = np.repeat(np.arange(len(runs)), columns)
    column = first[run] + np.arange(len(run)) - np.repeat(np.cumsum(columns) - columns, columns)
    return np.stack(
        (np.maximum(runs[run, 0], column * height), np.minimum(runs[run, 1], (column + 1) * height)), axis=1
    )
