"""torchvision's pasting, against its own and pycocotools."""

import numpy as np
import pytest
import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image

from maskrt.contract.pipeline import Paste

from ...support.pasting import check_pasting, random_boxes, random_masks

PASTE = Paste("integer_box", 0.5)


def torchvision_canvas(mask: np.ndarray, box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return paste_masks_in_image(torch.from_numpy(mask)[None, None], torch.from_numpy(box)[None], size)[0, 0].numpy()


def check_against_torchvision(boxes: np.ndarray, masks: np.ndarray, size: tuple[int, int]) -> None:
    check_pasting(boxes, masks, size, PASTE, torchvision_canvas)


@pytest.mark.parametrize("beyond", [False, True], ids=["inside", "beyond the border"])
def test_equals_torchvision_on_random_boxes(rng: np.random.Generator, beyond: bool) -> None:
    for _ in range(40):
        height, width = (int(side) for side in np.exp(rng.uniform(np.log(3), np.log(500), 2)))
        boxes = random_boxes(rng, 12, (height, width), beyond)
        check_against_torchvision(boxes, random_masks(rng, 12), (height, width))


@pytest.mark.parametrize("mask_size", [1, 2, 14, 56])
def test_equals_torchvision_for_other_mask_sizes(rng: np.random.Generator, mask_size: int) -> None:
    boxes = random_boxes(rng, 20, (150, 220), beyond=True)
    check_against_torchvision(boxes, random_masks(rng, 20, mask_size), (150, 220))


def test_one_pixel_boxes(rng: np.random.Generator) -> None:
    corners = rng.integers(0, 50, (60, 2)).astype(np.float32)
    boxes = np.concatenate((corners, corners + rng.choice([0, 0.3, 1], (60, 1))), axis=1).astype(np.float32)
    check_against_torchvision(boxes, random_masks(rng, 60), (52, 52))


def test_boxes_that_fill_the_image(rng: np.random.Generator) -> None:
    """A run goes on from the foot of one column to the head of the next."""
    masks = np.concatenate((random_masks(rng, 3), np.ones((1, 28, 28)), np.zeros((1, 28, 28))))
    masks = masks.astype(np.float32)
    for size in ((5, 5), (90, 41), (1, 1), (1, 70), (70, 1)):
        box = np.array([[-60, -60, size[1] + 60, size[0] + 60]] * len(masks), dtype=np.float32)
        check_against_torchvision(box, masks, size)
        box = np.array([[0, 0, size[1], size[0]]] * len(masks), dtype=np.float32)
        check_against_torchvision(box, masks, size)


def test_boxes_of_the_padded_mask_size(rng: np.random.Generator) -> None:
    """Scale exactly 1, which torch copies."""
    corners = rng.integers(0, 30, (20, 2)).astype(np.float32)
    check_against_torchvision(np.concatenate((corners, corners + 28), axis=1), random_masks(rng, 20), (64, 64))


def test_masks_with_values_at_the_threshold(rng: np.random.Generator) -> None:
    masks = rng.choice(np.array([0.25, 0.5, 0.75], dtype=np.float32), (30, 28, 28))
    check_against_torchvision(random_boxes(rng, 30, (120, 160), beyond=True), masks, (120, 160))


@pytest.mark.parametrize("threshold", [0.0, 0.25, 0.9, 1.0])
def test_other_thresholds(rng: np.random.Generator, threshold: float) -> None:
    masks = np.concatenate((random_masks(rng, 6), np.zeros((2, 28, 28)), np.ones((2, 28, 28)))).astype(np.float32)
    boxes = random_boxes(rng, 10, (90, 120), beyond=True)
    check_pasting(boxes, masks, (90, 120), Paste("integer_box", threshold), torchvision_canvas)


@pytest.mark.parametrize("size", [(40, 7680), (4320, 40)], ids=["width", "height"])
def test_8k_image(rng: np.random.Generator, size: tuple[int, int]) -> None:
    """One side at a time, as the interpolation is: torchvision's canvas of a whole 8K image has 133 MB."""
    height, width = size
    fractions = np.array([[0, 0, 1, 1], [-0.09, -0.2, 1.04, 1.16], [0.2, 0.1, 0.9, 0.7], [0.8, 0.4, 0.83, 0.8]])
    boxes = fractions * (width, height, width, height)
    boxes[1:] += rng.uniform(-3, 3, (3, 4))
    check_against_torchvision(boxes.astype(np.float32), random_masks(rng, 4), size)
