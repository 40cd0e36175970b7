"""Both forms of masks keep the same promises."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from maskrt.contract.pipeline import PASTE_RULES, Paste
from maskrt.runtime.structures.masks import GridMasks, Masks, RleMasks

from ...support.pasting import random_boxes, random_masks

SIZE = (70, 90)


@pytest.fixture
def grid(rng: np.random.Generator) -> GridMasks:
    return GridMasks(random_masks(rng, 6), random_boxes(rng, 6, SIZE, beyond=True), SIZE, Paste("pixel_centers", 0.5))


@pytest.fixture(params=["grid", "run lengths"])
def masks(grid: GridMasks, request: pytest.FixtureRequest) -> Masks:
    return grid if request.param == "grid" else RleMasks(tuple(grid.rle()))


def test_run_lengths(masks: Masks, grid: GridMasks) -> None:
    rles = masks.rle()
    assert [rle["size"] for rle in rles] == [[70, 90]] * 6
    assert rles == grid.rle()
    rles[0]["size"][0] = 1
    assert masks.rle()[0]["size"] == [70, 90]


def test_crops_have_the_pixels_of_the_run_lengths(masks: Masks) -> None:
    for rle, (left, top, crop) in zip(masks.rle(), masks.crops(), strict=True):
        canvas = np.zeros(SIZE, dtype=bool)
        canvas[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
        np.testing.assert_array_equal(canvas, coco_mask.decode(rle).astype(bool))


def test_indexing(masks: Masks) -> None:
    rles = masks.rle()
    assert len(masks) == 6
    for index, expected in (
        (np.array([True, False] * 3), [0, 2, 4]),
        (slice(1, 3), [1, 2]),
        (np.array([3, 1]), [3, 1]),
        ([5], [5]),
        (np.zeros(6, dtype=bool), []),
    ):
        part = masks[index]  # type: ignore[index]
        assert type(part) is type(masks)
        assert len(part) == len(expected)
        assert part.rle() == [rles[i] for i in expected]


@pytest.mark.parametrize("rule", PASTE_RULES)
def test_a_grid_is_pasted_by_its_rule(grid: GridMasks, rule: str) -> None:
    """Each mask as run lengths without the encoding, too."""
    grid = GridMasks(grid.probabilities, grid.boxes, SIZE, Paste(rule, 0.5))  # type: ignore[arg-type]
    for rle, counts in zip(grid.rle(), grid.counts(), strict=True):
        assert counts.sum() == 70 * 90
        assert counts[1::2].sum() == coco_mask.area(rle)
