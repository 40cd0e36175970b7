"""The fast pasting against torchvision's own and pycocotools."""

import tracemalloc
from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from torchvision.models.detection.roi_heads import paste_masks_in_image

from maskrt.runtime.masks.paste import paste_counts, paste_crops
from maskrt.runtime.masks.rle import compress_counts, counts_to_mask, decompress_counts


def encode(boxes: np.ndarray, masks: np.ndarray, size: tuple[int, int]) -> list[str]:
    return [text for counts, lengths in paste_counts(boxes, masks, size) for text in compress_counts(counts, lengths)]


def decode(text: str, size: tuple[int, int]) -> np.ndarray:
    return counts_to_mask(decompress_counts(text), *size)


def check_against_torchvision(boxes: np.ndarray, masks: np.ndarray, size: tuple[int, int]) -> None:
    """Same RLE text, unless a pixel's pasted value lies within 1e-6 of the threshold."""
    texts = encode(boxes, masks, size)
    crops = list(paste_crops(boxes, masks, size))
    assert len(texts) == len(crops) == len(boxes)
    for box, mask, text, (left, top, crop) in zip(boxes, masks, texts, crops, strict=True):
        pasted = paste_masks_in_image(torch.from_numpy(mask)[None, None], torch.from_numpy(box)[None], size)
        values = pasted[0, 0].numpy()
        expected = coco_mask.encode(np.asfortranarray(values > 0.5, dtype=np.uint8))["counts"].decode()
        ours = decode(text, size)
        if text != expected:
            differing = values[ours != (values > 0.5)]
            assert len(differing), f"box {box}: same pixels, other text"
            assert np.abs(differing - 0.5).max() < 1e-6, f"box {box}: {len(differing)} pixels differ"
        canvas = np.zeros(size, dtype=bool)
        canvas[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
        np.testing.assert_array_equal(canvas, ours)


def random_masks(rng: np.random.Generator, number: int, size: int = 28) -> np.ndarray:
    """Some noisy, some smooth with a contour like a trained model's."""
    masks = rng.random((number, size, size), dtype=np.float32)
    for mask in masks[::2]:
        smooth = cv2.GaussianBlur(mask, (9, 9), 3)
        mask[...] = 1 / (1 + np.exp((smooth.mean() - smooth) * rng.uniform(5, 200)))
    return masks


def random_boxes(rng: np.random.Generator, number: int, size: tuple[int, int], beyond: bool) -> np.ndarray:
    """Boxes of all sizes that touch the image; clipped to it unless `beyond`."""
    height, width = size
    centers = rng.uniform(0, 1, (number, 2)) * (width, height)
    sides = np.exp(rng.uniform(np.log(0.5), np.log(1.3 * max(size)), (number, 2)))
    boxes = np.concatenate((centers - sides / 2, centers + sides / 2), axis=1)
    if not beyond:
        boxes = np.clip(boxes, 0, (width, height, width, height))
    # torchvision cannot paste a box that begins outside, to the right of or below the image.
    boxes[:, :2] = np.minimum(boxes[:, :2], (width - 1.5, height - 1.5))
    boxes[:, 2:] = np.maximum(boxes[:, 2:], (1.5, 1.5))
    return boxes.astype(np.float32)


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


@pytest.mark.parametrize("size", [(40, 7680), (4320, 40)], ids=["width", "height"])
def test_8k_image(rng: np.random.Generator, size: tuple[int, int]) -> None:
    """One side at a time, as the interpolation is: torchvision's canvas of a whole 8K image has 133 MB."""
    height, width = size
    fractions = np.array([[0, 0, 1, 1], [-0.09, -0.2, 1.04, 1.16], [0.2, 0.1, 0.9, 0.7], [0.8, 0.4, 0.83, 0.8]])
    boxes = fractions * (width, height, width, height)
    boxes[1:] += rng.uniform(-3, 3, (3, 4))
    check_against_torchvision(boxes.astype(np.float32), random_masks(rng, 4), size)


@pytest.mark.parametrize(
    "box",
    [
        [-50, -50, -10, -10],  # beside the image
        [200, 200, 300, 300],
        [30, 30, 10, 10],  # inverted
        [np.nan, 0, 10, 10],
        [0, 0, np.inf, 10],
        [-np.inf, -np.inf, np.inf, np.inf],
    ],
)
def test_boxes_without_pixels_give_empty_masks(box: list[float]) -> None:
    """Where torchvision fails or allocates without bound."""
    boxes = np.array([box], dtype=np.float32)
    (text,) = encode(boxes, np.ones((1, 28, 28), dtype=np.float32), (100, 100))
    assert not decode(text, (100, 100)).any()


def test_absurdly_large_box_covers_the_image() -> None:
    boxes = np.array([[-1e30, -1e30, 1e30, 1e30]], dtype=np.float32)
    (text,) = encode(boxes, np.ones((1, 28, 28), dtype=np.float32), (100, 100))
    assert decode(text, (100, 100)).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_a_number_in_a_mask_does_no_harm(rng: np.random.Generator, value: float) -> None:
    masks = random_masks(rng, 5)
    masks[rng.random(masks.shape) < 0.1] = value
    boxes = random_boxes(rng, 5, (80, 80), beyond=True)
    for text in encode(boxes, masks, (80, 80)):
        assert decode(text, (80, 80)).shape == (80, 80)


def test_no_instances() -> None:
    empty = np.zeros((0, 4), dtype=np.float32), np.zeros((0, 28, 28), dtype=np.float32), (10, 10)
    assert encode(*empty) == []
    assert list(paste_crops(*empty)) == []


def peak_memory(function: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def grows(measure: Callable[[int, tuple[int, int]], int]) -> bool:
    """Does the peak memory grow with the number of instances or with the image area?"""
    small, large = (1080, 1920), (4320, 7680)
    base = measure(100, small)
    return measure(400, small) > 1.5 * base or measure(100, large) > 1.5 * base


def test_peak_memory_grows_neither_with_the_image_nor_with_the_instances(rng: np.random.Generator) -> None:
    # All of one size and as noisy, so that every hundred of them takes the same.
    corners = rng.uniform(20, (1600, 780), (400, 2))
    boxes = np.concatenate((corners, corners + (280, 250)), axis=1).astype(np.float32)
    masks = rng.random((400, 28, 28), dtype=np.float32)

    def encoding(number: int, size: tuple[int, int]) -> int:
        return peak_memory(lambda: sum(map(len, encode(boxes[:number], masks[:number], size))))

    def canvas(number: int, size: tuple[int, int]) -> int:
        """The negative control: a canvas per instance, of bytes, which would be the least."""
        return peak_memory(lambda: np.zeros((number, *size), dtype=np.uint8))

    assert not grows(encoding)
    assert encoding(400, (4320, 7680)) < 40e6  # a single float32 canvas of torchvision has 133 MB
    assert grows(canvas)
