"""Polygons of masks: filled by pycocotools, they are the mask again, pixel by pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from maskrt.runtime.masks.polygons import outline


def filled(polygons: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """What COCO's own tools see in the polygons of an annotation."""
    if not polygons:
        return np.zeros((height, width), bool)
    rles = coco_mask.frPyObjects([polygon.reshape(-1).tolist() for polygon in polygons], height, width)
    return coco_mask.decode(coco_mask.merge(rles)).astype(bool)


def area(polygon: np.ndarray) -> float:
    """Signed by the direction: positive where it is clockwise on the screen."""
    x, y = polygon.T
    return float(0.5 * (x @ np.roll(y, -1) - y @ np.roll(x, -1)))


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.5, 0.7, 0.95, 1.0])
@pytest.mark.parametrize("smooth", [0, 3])
def test_filled_they_are_the_mask(share: float, smooth: int, rng: np.random.Generator) -> None:
    for _ in range(40):
        height, width = rng.integers(1, 40, 2).tolist()
        noise = rng.random((height, width))
        if smooth:
            noise = cv2.GaussianBlur(noise, (0, 0), smooth)
        mask = noise < np.quantile(noise, share) if 0 < share < 1 else np.full((height, width), share > 0)
        polygons = outline(mask)
        np.testing.assert_array_equal(filled(polygons, height, width), mask)
        assert sum(map(area, polygons)) == np.count_nonzero(mask)
        assert all(area(polygon) > 0 for polygon in polygons)


def test_corners_of_a_ring() -> None:
    mask = np.zeros((6, 7), bool)
    mask[1:5, 1:6] = True
    mask[2:4, 3:5] = False
    (polygon,) = outline(mask)
    ring = [(1, 1), (6, 1), (6, 5), (1, 5)]
    assert [tuple(point) for point in polygon] == [*ring, (1, 2), (3, 2), (3, 4), (5, 4), (5, 2), (3, 2), (1, 2)]


def test_pixels_that_touch_at_a_corner_are_parts_of_their_own() -> None:
    parts = outline(np.array([[True, False], [False, True]]))
    assert [part.tolist() for part in parts] == [[[0, 0], [1, 0], [1, 1], [0, 1]], [[1, 1], [2, 1], [2, 2], [1, 2]]]


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (4, 0)])
def test_an_empty_mask_has_none(shape: tuple[int, int]) -> None:
    assert outline(np.zeros(shape, bool)) == []
