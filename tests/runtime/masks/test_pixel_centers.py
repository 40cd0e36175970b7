"""detectron2's and mmdetection's pasting, against torch's `grid_sample` and what the frameworks themselves gave."""

import math

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from maskrt.contract.pipeline import Paste

from ...support.pasting import check_pasting, decode, encode, random_boxes, random_masks
from ...support.references import reference_model

PASTE = Paste("pixel_centers", 0.5)


def grid_sample_canvas(mask: np.ndarray, box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`_do_paste_mask` on a CPU: nothing further than a pixel from the box. A side of 0 as in mmdetection."""
    canvas = np.full(size, -1, dtype=np.float32)  # what is not looked at is not inside at any threshold
    ranges = []
    for low, high, side in ((box[1], box[3], size[0]), (box[0], box[2], size[1])):
        ranges.append((max(math.floor(low) - 1, 0), min(math.ceil(high) + 1, side), float(low), float(high)))
    if any(start >= end for start, end, _, _ in ranges):
        return canvas
    grids = []
    for start, end, low, high in ranges:
        low_tensor, high_tensor = torch.tensor(low), torch.tensor(high)
        grid = (torch.arange(start, end, dtype=torch.float32) + 0.5 - low_tensor) / (high_tensor - low_tensor) * 2 - 1
        grid[torch.isinf(grid)] = 0
        grids.append(grid)
    y, x = grids
    grid = torch.stack((x[None].expand(len(y), -1), y[:, None].expand(-1, len(x))), dim=-1)[None]
    values = torch.nn.functional.grid_sample(torch.from_numpy(mask)[None, None], grid, align_corners=False)[0, 0]
    (top, bottom, _, _), (left, right, _, _) = ranges
    canvas[top:bottom, left:right] = values.numpy()
    return canvas


def check(boxes: np.ndarray, masks: np.ndarray, size: tuple[int, int], paste: Paste = PASTE) -> None:
    check_pasting(boxes, masks, size, paste, grid_sample_canvas)


@pytest.mark.parametrize("name", ["d2_mask_rcnn_R_50_FPN", "d2_mask_rcnn_R_50_C4", "mm_mask-rcnn_r50_fpn"])
def test_equals_the_frameworks(name: str) -> None:
    """Identical run lengths in 99 % of the masks at least, the rest within 2 pixels."""
    golden = reference_model(name).golden("chelsea")
    height, width = golden["rle_size"].tolist()
    size = (height, width)
    texts = encode(golden["boxes"], golden["mask_probs"], size, PASTE)
    expected = [counts.decode() for counts in golden["rle_counts"]]
    assert len(texts) == len(expected) > 30
    assert sum(a == b for a, b in zip(texts, expected, strict=True)) >= 0.99 * len(texts)
    for text, other in zip(texts, expected, strict=True):
        mask = coco_mask.decode({"size": [height, width], "counts": other}).astype(bool)
        assert (decode(text, size) != mask).sum() <= 2


@pytest.mark.parametrize("beyond", [False, True], ids=["inside", "beyond the border"])
def test_equals_grid_sample_on_random_boxes(rng: np.random.Generator, beyond: bool) -> None:
    for _ in range(40):
        height, width = (int(side) for side in np.exp(rng.uniform(np.log(3), np.log(500), 2)))
        check(random_boxes(rng, 12, (height, width), beyond), random_masks(rng, 12), (height, width))


@pytest.mark.parametrize("mask_size", [1, 2, 14, 56])
def test_other_mask_sizes(rng: np.random.Generator, mask_size: int) -> None:
    check(random_boxes(rng, 20, (150, 220), beyond=True), random_masks(rng, 20, mask_size), (150, 220))


def test_boxes_smaller_than_a_pixel(rng: np.random.Generator) -> None:
    corners = rng.uniform(0, 50, (60, 2))
    sides = rng.choice([1e-6, 0.01, 0.3, 1, 1.5], (60, 2))
    check(np.concatenate((corners, corners + sides), axis=1).astype(np.float32), random_masks(rng, 60), (52, 52))


def test_boxes_with_a_side_of_zero(rng: np.random.Generator) -> None:
    """mmdetection keeps them, and gives them the middle of the mask."""
    corners = rng.uniform(0, 50, (60, 2)).astype(np.float32)
    boxes = np.concatenate((corners, corners), axis=1)
    boxes[:20, 2] += 7
    boxes[20:40, 3] += 7
    boxes[::3] = np.round(boxes[::3])  # as at the border, where boxes are cut
    check(boxes, random_masks(rng, 60), (52, 52))


def test_boxes_of_whole_pixels(rng: np.random.Generator) -> None:
    corners = rng.integers(0, 30, (20, 2)).astype(np.float32)
    for side in (28, 56, 14):
        check(np.concatenate((corners, corners + side), axis=1), random_masks(rng, 20), (64, 64))


def test_boxes_that_fill_the_image(rng: np.random.Generator) -> None:
    """A run goes on from the foot of one column to the head of the next."""
    masks = np.concatenate((random_masks(rng, 3), np.ones((1, 28, 28)), np.zeros((1, 28, 28)))).astype(np.float32)
    for height, width in ((5, 5), (90, 41), (1, 1), (1, 70), (70, 1)):
        for margin in (0, 60):
            box = np.array([[-margin, -margin, width + margin, height + margin]] * len(masks), dtype=np.float32)
            check(box, masks, (height, width))


def test_masks_with_values_at_the_threshold(rng: np.random.Generator) -> None:
    """A pixel of exactly the threshold is inside."""
    masks = rng.choice(np.array([0.25, 0.5, 0.75], dtype=np.float32), (30, 28, 28))
    check(random_boxes(rng, 30, (120, 160), beyond=True), masks, (120, 160))
    box = np.array([[10, 10, 42, 42]], dtype=np.float32)  # a pixel of the mask on each of the image, without rounding
    (text,) = encode(box, np.full((1, 32, 32), 0.5, np.float32), (50, 50), PASTE)
    assert decode(text, (50, 50))[10:42, 10:42].all()
    assert decode(text, (50, 50)).sum() == 32 * 32


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.3, 0.45, 0.9, 1.0])
def test_other_thresholds(rng: np.random.Generator, threshold: float) -> None:
    """Below 0.5 objects reach beyond their boxes; at 0 they are all that is looked at."""
    masks = np.concatenate((random_masks(rng, 6), np.zeros((2, 28, 28)), np.ones((2, 28, 28)))).astype(np.float32)
    for beyond in (False, True):
        boxes = random_boxes(rng, 10, (90, 120), beyond)
        check(boxes, masks, (90, 120), Paste("pixel_centers", threshold))


@pytest.mark.parametrize("size", [(40, 7680), (4320, 40)], ids=["width", "height"])
def test_8k_image(rng: np.random.Generator, size: tuple[int, int]) -> None:
    height, width = size
    fractions = np.array([[0, 0, 1, 1], [-0.09, -0.2, 1.04, 1.16], [0.2, 0.1, 0.9, 0.7], [0.8, 0.4, 0.83, 0.8]])
    boxes = fractions * (width, height, width, height)
    boxes[1:] += rng.uniform(-3, 3, (3, 4))
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
    check(boxes.astype(np.float32), random_masks(rng, 4), size)


def test_differs_from_torchvision(rng: np.random.Generator) -> None:
    """The negative control: the other rule, which rounds boxes to whole pixels, is told apart."""
    boxes = random_boxes(rng, 30, (120, 160), beyond=False)
    masks = np.stack([cv2.GaussianBlur(mask, (9, 9), 3) for mask in rng.random((30, 28, 28), dtype=np.float32)])
    ours = encode(boxes, masks, (120, 160), PASTE)
    others = encode(boxes, masks, (120, 160), Paste("integer_box", 0.5))
    assert sum(a != b for a, b in zip(ours, others, strict=True)) > 15
