from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models.detection.roi_heads import paste_masks_in_image

from maskrt.contract.pipeline import Filter, Paste, PasteRule, Resize, SizeRule
from maskrt.export.rcnn.pictures import paste_mask, resize_picture, resized_size


@pytest.mark.parametrize(
    ("rule", "picture", "expected"),
    [
        # One scale, each side rounded down; 100 / 480 would give 133.33, 299.8 is cut.
        ("floor", (480, 640), (100, 133)),
        ("floor", (480, 1439), (100, 299)),
        ("floor", (480, 2000), (72, 300)),
        # The shorter side exactly, the longer rounded to nearest: 133.54.
        ("shortest_edge", (480, 641), (100, 134)),
        ("shortest_edge", (641, 480), (134, 100)),
        ("shortest_edge", (480, 2001), (72, 300)),
        # The largest that fits.
        ("fit", (480, 641), (100, 134)),
        ("fit", (480, 2001), (72, 300)),
    ],
)
def test_sizes(rule: SizeRule, picture: tuple[int, int], expected: tuple[int, int]) -> None:
    assert resized_size(Resize(rule, "bilinear", 100, 300), *picture) == expected


def test_a_shortest_edge_of_0_leaves_pictures_as_they_are() -> None:
    assert resized_size(Resize("shortest_edge", "bilinear", 0, 300), 480, 641) == (480, 641)


_FILTERS: dict[Filter, Callable[[np.ndarray], np.ndarray]] = {
    "pillow_bilinear": lambda p: np.asarray(Image.fromarray(p).resize((160, 120), Image.Resampling.BILINEAR)),
    "opencv_bilinear": lambda p: cv2.resize(p, (160, 120), interpolation=cv2.INTER_LINEAR),
}


@pytest.mark.parametrize("name", _FILTERS)
def test_filters_are_those_of_their_libraries(name: Filter, photographs: dict[str, np.ndarray]) -> None:
    picture = np.ascontiguousarray(photographs["coffee"][:300, :400])
    resized = resize_picture(Resize("fit", name, 120, 160), picture)
    assert resized.dtype == torch.float32
    np.testing.assert_array_equal(resized.permute(1, 2, 0), _FILTERS[name](picture))
    untouched = resize_picture(Resize("shortest_edge", name, 0, 160), picture)
    np.testing.assert_array_equal(untouched.permute(1, 2, 0), picture)


def test_the_float_filter_has_half_pixel_centers_and_no_antialiasing() -> None:
    picture = np.zeros((2, 4, 3), np.uint8)
    picture[:, :, 0] = [0, 100, 200, 240]
    resized = resize_picture(Resize("fit", "bilinear", 1, 2), picture)
    np.testing.assert_allclose(resized[0], [[50, 220]], rtol=1e-6)


def _boxes(rng: np.random.Generator) -> torch.Tensor:
    """Inside, across the border, outside, tiny and without area."""
    corner = rng.uniform(-30, 90, (60, 2))
    boxes = np.concatenate([corner, corner + np.exp(rng.uniform(-2, 4.5, (60, 2)))], axis=1)
    boxes[::15, 2] = boxes[::15, 0]
    return torch.from_numpy(boxes.astype(np.float32))


def test_integer_boxes_equal_torchvision(rng: np.random.Generator) -> None:
    boxes = _boxes(rng)
    boxes = boxes[(boxes[:, :2] < 70).all(dim=1) & (boxes[:, 2:] > 0).all(dim=1)]  # torchvision fails on others
    masks = torch.from_numpy(rng.random((len(boxes), 28, 28), dtype=np.float32))
    expected = paste_masks_in_image(masks[:, None], boxes, (70, 80))[:, 0] > 0.5
    pasted = [paste_mask(Paste("integer_box", 0.5), m, b, (70, 80)) for m, b in zip(masks, boxes, strict=True)]
    np.testing.assert_array_equal(torch.stack(pasted), expected)


@pytest.mark.parametrize("threshold", [0.5, 0.45])
def test_pixel_centers_equal_bilinear_interpolation_written_out(rng: np.random.Generator, threshold: float) -> None:
    boxes = _boxes(rng)
    boxes = boxes[(boxes[:, 2:] - boxes[:, :2] > 1).all(dim=1)]
    masks = rng.random((len(boxes), 14, 14), dtype=np.float32)
    for mask, box in zip(masks, boxes, strict=True):
        pasted = paste_mask(Paste("pixel_centers", threshold), torch.from_numpy(mask), box, (70, 80)).numpy()
        values = _interpolated(mask, box.double().numpy(), 70, 80)
        clear = np.abs(values - threshold) > 1e-3
        np.testing.assert_array_equal(pasted[clear], (values > threshold)[clear])


def _interpolated(mask: np.ndarray, box: np.ndarray, height: int, width: int) -> np.ndarray:
    """Of each pixel's centre in the mask stretched over the box, zero around it."""
    size = mask.shape[0]
    padded = np.pad(mask.astype(np.float64), 1)
    positions = [
        np.clip((np.arange(side) + 0.5 - start) / (end - start) * size + 0.5, 0, size + 1)
        for side, start, end in ((height, box[1], box[3]), (width, box[0], box[2]))
    ]
    (y0, fy), (x0, fx) = ((np.minimum(p.astype(int), size), p - np.minimum(p.astype(int), size)) for p in positions)
    rows = padded[y0] * (1 - fy)[:, None] + padded[y0 + 1] * fy[:, None]
    return rows[:, x0] * (1 - fx) + rows[:, x0 + 1] * fx


def test_a_box_without_width_takes_the_middle_of_the_mask() -> None:
    """As mmdetection has it, in the pixels within one of the box; detectron2 drops such boxes before."""
    mask = torch.zeros(14, 14)
    mask[:, 6:8] = 1
    pasted = paste_mask(Paste("pixel_centers", 0.5), mask, torch.tensor([20.0, 10.0, 20.0, 24.0]), (40, 40))
    rows, columns = pasted.nonzero(as_tuple=True)
    assert (columns.min(), columns.max()) == (19, 20)
    assert (rows.min(), rows.max()) == (10, 23)


@pytest.mark.parametrize(("rule", "inside"), [("integer_box", False), ("pixel_centers", True)])
def test_whether_the_threshold_itself_is_inside(rule: PasteRule, inside: bool) -> None:
    mask = torch.full((28, 28), 0.5)
    pasted = paste_mask(Paste(rule, 0.5), mask, torch.tensor([0.0, 0.0, 28.0, 28.0]), (28, 28))
    assert bool(pasted[14, 14]) is inside
