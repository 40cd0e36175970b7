"""Set operations on runs against the same operations on arrays of pixels."""

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from maskrt.runtime.masks.rle import compress_counts, decompress_counts
from maskrt.runtime.masks.runs import (
    area,
    clip,
    counts_from_runs,
    crop,
    intersection_area,
    runs_from_counts,
    union,
)


def random_mask(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Blobs, noise, nothing, everything."""
    kind = rng.integers(5)
    if kind < 2:
        return cv2.GaussianBlur(rng.random((height, width)), (0, 0), 2) > 0.5
    if kind == 2:
        return rng.random((height, width)) < rng.random()
    return np.full((height, width), kind == 3)


def runs_of(mask: np.ndarray) -> np.ndarray:
    text = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode()
    return runs_from_counts(decompress_counts(text))


def mask_of(runs: np.ndarray, height: int, width: int) -> np.ndarray:
    (text,) = compress_counts(counts := counts_from_runs(runs, height * width), np.array([len(counts)]))
    return coco_mask.decode({"size": [height, width], "counts": text.encode()}).astype(bool)


def test_from_counts_and_back_is_what_pycocotools_writes(rng: np.random.Generator) -> None:
    for _ in range(200):
        mask = random_mask(rng, *rng.integers(1, 30, 2))
        text = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode()
        runs = runs_from_counts(decompress_counts(text))
        assert (runs[:, 0] < runs[:, 1]).all()
        assert (runs[1:, 0] > runs[:-1, 1]).all()
        assert area(runs) == mask.sum()
        counts = counts_from_runs(runs, mask.size)
        assert compress_counts(counts, np.array([len(counts)])) == [text]


def test_counts_with_empty_runs_inside() -> None:
    """COCO allows them: two runs of foreground without a pixel between are one."""
    assert runs_from_counts(np.array([2, 3, 0, 4, 1, 0, 5])).tolist() == [[2, 9]]


def test_union_intersection_and_clip(rng: np.random.Generator) -> None:
    for _ in range(200):
        height, width = rng.integers(1, 30, 2)
        masks = [random_mask(rng, height, width) for _ in range(3)]
        runs = [runs_of(mask) for mask in masks]
        np.testing.assert_array_equal(mask_of(union(runs), height, width), np.logical_or.reduce(masks))
        assert intersection_area(runs[0], runs[1]) == (masks[0] & masks[1]).sum()
        (left, right), (top, bottom) = np.sort(rng.integers(0, width + 1, 2)), np.sort(rng.integers(0, height + 1, 2))
        inside = np.zeros((height, width), dtype=bool)
        inside[top:bottom, left:right] = masks[0][top:bottom, left:right]
        clipped = clip(runs[0], (left, top, right, bottom), height)
        np.testing.assert_array_equal(mask_of(clipped, height, width), inside)
    assert union([]).shape == (0, 2)


def test_crop_is_the_mask_cut_out(rng: np.random.Generator) -> None:
    for _ in range(200):
        height, width = rng.integers(1, 30, 2)
        mask = random_mask(rng, height, width)
        left, top, cut = crop(runs_of(mask), height)
        assert cut.dtype == bool
        if not mask.any():
            assert cut.size == 0
            continue
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert (left, top) == (columns[0], rows[0])
        np.testing.assert_array_equal(cut, mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


@pytest.mark.parametrize("size", [(100_000, 100_000), (1, 2**40)])
def test_size_of_the_image_costs_nothing(size: tuple[int, int]) -> None:
    height, width = size
    runs = np.array([[height * (width // 2) + height // 2, height * (width // 2) + height // 2 + 1]])
    assert crop(runs, height)[:2] == (width // 2, height // 2)
    assert area(clip(runs, (0, 0, width, height), height)) == 1
    assert area(runs_from_counts(counts_from_runs(runs, height * width))) == 1
