"""Mask pasting as run lengths: the host build against the runtime and torchvision, the kernels against the host."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image

from maskrt.contract.pipeline import Paste, PasteRule
from maskrt.plugins import device, host
from maskrt.plugins.attributes import TORCHVISION_PASTE
from maskrt.runtime.masks.paste import paste_counts
from maskrt.runtime.transforms.boxes import resize_boxes

CASES = 3000 if os.environ.get("MASKRT_LONG_TESTS") else 120
NO_BOXES = np.array(
    [
        [np.nan, 0, 5, 5],
        [0, 0, np.nan, 5],
        [np.inf, np.inf, np.inf, np.inf],
        [-np.inf, -np.inf, np.inf, np.inf],
        [-3e38, -3e38, 3e38, 3e38],
        [-500, -500, -100, -100],
        [3e9, 3e9, 4e9, 4e9],
    ],
    np.float32,
)
ODD_BOXES = np.array(
    [
        [0, 0, 0, 0],
        [5, 6, 5, 9],
        [30, 20, 10, 5],  # inverted
        [-40, -30, 60, 80],
        [-1e4, 2, 1e4, 9],
        [-1e6, -1e6, 1e6, 1e6],
        [-1e9, -1e9, 1e9, 1e9],
        [-5e9, -5e9, 5e9, 5e9],
    ],
    np.float32,
)


def random_boxes(rng: np.random.Generator, count: int, image_size: tuple[int, int]) -> np.ndarray:
    """[count, 4] float32 xyxy of all sizes, inside, across the edges and outside of the image."""
    height, width = image_size
    corner = rng.uniform(-0.3, 1.1, (count, 2)) * (width, height)
    size = np.exp(rng.uniform(0, np.log(2 * max(height, width) + 2), (count, 2)))
    return np.concatenate([corner, corner + size], 1).astype(np.float32)


def noise(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """[count, size, size] float32 probabilities, as many changes as can be."""
    return rng.random((count, size, size), np.float32)


def quarters(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """0, 0.25, …, 1: crossings at mask rows, whole areas at 0.5."""
    return rng.integers(0, 5, (count, size, size)).astype(np.float32) / 4


def blobs(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Soft discs, as a network gives them."""
    y, x = np.mgrid[:size, :size] / max(size - 1, 1) - 0.5
    return (1 / (1 + np.exp(20 * (np.hypot(y, x) - rng.uniform(0, 1, (count, 1, 1)))))).astype(np.float32)


def full(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Foreground everywhere, with single holes: runs that go over from one image column to the next."""
    return (rng.random((count, size, size)) > 0.02).astype(np.float32)


def no_numbers(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """NaN, infinities, and values a hair from 0.5."""
    masks = (0.5 + rng.uniform(-1e-6, 1e-6, (count, size, size))).astype(np.float32)
    masks[: count // 2, ::3] = np.nan
    masks[: count // 2, 1::5] = np.inf
    masks[: count // 2, 2::7] = -np.inf
    return masks


MASKS = (noise, quarters, blobs, full, no_numbers)


RULES: tuple[PasteRule, ...] = ("integer_box", "pixel_centers")
PASTES = tuple(Paste(rule, threshold) for threshold in (0.5, 0.3) for rule in RULES)


def runtime_counts(
    boxes: np.ndarray, masks: np.ndarray, image_size: tuple[int, int], paste: Paste = TORCHVISION_PASTE
) -> tuple[np.ndarray, np.ndarray]:
    """Paste as the runtime does on the CPU."""
    parts = list(paste_counts(boxes, masks, image_size, paste))
    empty = np.empty(0, np.int64)
    return (
        np.concatenate([counts for counts, _ in parts] + [empty]),
        np.concatenate([lengths for _, lengths in parts] + [empty]),
    )


def drawn(counts: np.ndarray, lengths: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """[N, H, W] bool."""
    masks = []
    for one in np.split(counts, np.cumsum(lengths)[:-1]):
        assert one.sum() == image_size[0] * image_size[1]
        masks.append(np.repeat(np.arange(len(one)) % 2 == 1, one).reshape(image_size[::-1]).T)
    return np.stack(masks)


@pytest.mark.parametrize("paste", [*PASTES, Paste("pixel_centers", 0.0), Paste("integer_box", -1.0)], ids=str)
def test_host_equals_runtime(paste: Paste, reference: Callable[..., Any], rng: np.random.Generator) -> None:
    """Bit for bit, whatever the boxes and the values; a threshold that the zeros outside reach takes all pixels."""
    masks_pasted = 0
    for case in range(CASES):
        height, width = (int(side) for side in np.exp(rng.uniform(0, 5.5, 2)))
        boxes = np.concatenate([random_boxes(rng, int(rng.integers(0, 25)), (height, width)), ODD_BOXES, NO_BOXES])
        masks = MASKS[case % len(MASKS)](rng, len(boxes), int(rng.choice([1, 2, 3, 7, 14, 28])))
        counts, lengths = reference(partial(host.paste_rle, paste=paste), boxes, masks, (height, width))
        expected_counts, expected_lengths = runtime_counts(boxes, masks, (height, width), paste)
        np.testing.assert_array_equal(lengths, expected_lengths, err_msg=f"case {case}")
        np.testing.assert_array_equal(counts, expected_counts, err_msg=f"case {case}")
        masks_pasted += int((lengths > 1).sum())
    assert masks_pasted > 5 * CASES


@pytest.mark.parametrize("image_size", [(90, 130), (1, 70), (70, 1), (1, 1), (3, 400)])
def test_host_equals_torchvision(image_size: tuple[int, int], reference: Callable[..., Any]) -> None:
    """Pixel for pixel, but for those within 1e-6 of the threshold."""
    rng = np.random.default_rng(image_size[1])
    for make in (noise, quarters, blobs, full):
        boxes = np.concatenate([random_boxes(rng, 40, image_size), ODD_BOXES])
        # torchvision fails for a box that does not reach into the image, and makes a canvas as large as the box.
        inside = (boxes[:, :2] < image_size[::-1]) & (boxes[:, 2:] > 0) & (np.ptp(boxes[:, ::2], 1) < 2000)[:, None]
        boxes = boxes[inside.all(1) & (boxes[:, :2] <= boxes[:, 2:]).all(1)]
        masks = make(rng, len(boxes), 28)
        pasted = paste_masks_in_image(torch.from_numpy(masks)[:, None], torch.from_numpy(boxes), image_size, padding=1)
        values = pasted[:, 0].numpy()
        result = drawn(*reference(host.paste_rle, boxes, masks, image_size), image_size)
        different = result != (values > 0.5)
        assert (np.abs(values[different] - 0.5) < 1e-6).all()
        assert different.sum() <= 1e-4 * values.size
        assert image_size[0] * image_size[1] < 1000 or (values > 0.5).sum() > 100


def test_hand_computed(reference: Callable[..., Any]) -> None:
    """Masks of ones."""
    boxes = np.array([[2, 1, 6, 5], [-100, -100, 100, 100], [50, 50, 60, 60]], np.float32)
    counts, lengths = reference(host.paste_rle, boxes, np.ones((3, 2, 2), np.float32), (6, 8))
    # The first box grows to twice its size, x 0…8 and y -1…7: nine pixels i for four of the padded mask. The position
    # 4 (i + 0.5) / 9 - 0.5 gives i = 2 and 6 the weight 0.61 and i = 3…5 the weight 1. A pixel is foreground where its
    # weights' product is above 0.5: a square of 5x5 without its corners.
    np.testing.assert_array_equal(lengths, [11, 2, 1])
    np.testing.assert_array_equal(counts, [14, 3, 2, 5, 1, 5, 1, 5, 2, 3, 7, 0, 48, 48])


@pytest.mark.parametrize("image_size", [(37, 61), (19, 300), (1, 150), (80, 1), (23, 127), (23, 126)])
@pytest.mark.parametrize("paste", PASTES[:2], ids=lambda paste: paste.rule)
def test_kernels_equal_host(
    image_size: tuple[int, int], paste: Paste, kernels: Any, reference: Callable[..., Any]
) -> None:
    """Regions of one tile and of several, with borders between tiles inside of runs."""
    host_rle = partial(host.paste_rle, paste=paste)
    rng = np.random.default_rng(image_size[1])
    for make in MASKS:
        boxes = np.concatenate([random_boxes(rng, 3, image_size), ODD_BOXES[2:6], NO_BOXES[::3]])
        boxes[0] = [-30, -20, image_size[1] + 30, image_size[0] + 20]
        masks = make(rng, len(boxes), 7)
        expected_counts, expected_lengths = reference(host_rle, boxes, masks, image_size)
        counts, lengths, total = kernels.paste_rle(boxes, masks, image_size, len(expected_counts), paste=paste)
        np.testing.assert_array_equal(lengths, expected_lengths, err_msg=make.__name__)
        np.testing.assert_array_equal(counts, expected_counts, err_msg=make.__name__)
        assert total == len(expected_counts)


def test_too_little_room(kernels: Any, reference: Callable[..., Any]) -> None:
    """The array counts holds the beginning, lengths and total are whole."""
    rng = np.random.default_rng(3)
    boxes, masks = random_boxes(rng, 5, (30, 40)), noise(rng, 5, 5)
    boxes[0] = [3, 4, 30, 20]
    expected, expected_lengths = reference(host.paste_rle, boxes, masks, (30, 40))
    assert expected_lengths[0] > 1
    for capacity in (0, 1, int(expected_lengths[0]) - 1, int(expected_lengths[0]), len(expected) - 1):
        counts, lengths, total = kernels.paste_rle(boxes, masks, (30, 40), capacity)
        np.testing.assert_array_equal(counts, expected[:capacity])
        np.testing.assert_array_equal(lengths, expected_lengths)
        assert total == len(expected)


@pytest.mark.parametrize("num", [0, 1, 4, 9])
def test_only_so_many_instances(num: int, kernels: Any, reference: Callable[..., Any]) -> None:
    """The rows behind them may hold anything."""
    rng = np.random.default_rng(num)
    boxes, masks = random_boxes(rng, 6, (20, 25)), noise(rng, 6, 3)
    expected, expected_lengths = reference(host.paste_rle, boxes[:num], masks[:num], (20, 25))
    same_counts, same_lengths = reference(lambda: host.paste_rle(boxes, masks, (20, 25), num=num))
    counts, lengths, total = kernels.paste_rle(boxes, masks, (20, 25), 1000, num=num)
    assert total == len(expected) == len(same_counts)
    np.testing.assert_array_equal(counts[:total], expected)
    np.testing.assert_array_equal(same_counts, expected)
    np.testing.assert_array_equal(lengths, np.pad(expected_lengths, (0, 6 - len(expected_lengths))))
    np.testing.assert_array_equal(lengths, same_lengths)


def test_boxes_of_the_resized_image(kernels: Any, reference: Callable[..., Any]) -> None:
    rng = np.random.default_rng(4)
    resized, image_size = (37, 53), (50, 71)
    boxes, masks = random_boxes(rng, 8, resized), blobs(rng, 8, 9)
    expected, expected_lengths = runtime_counts(resize_boxes(boxes, resized, image_size), masks, image_size)
    host_counts, _ = reference(lambda: host.paste_rle(boxes, masks, image_size, box_image_size=resized))
    counts, lengths, _ = kernels.paste_rle(boxes, masks, image_size, len(expected), resized)
    np.testing.assert_array_equal(host_counts, expected)
    np.testing.assert_array_equal(counts, expected)
    np.testing.assert_array_equal(lengths, expected_lengths)


@pytest.mark.parametrize("count", [0, 1, 300])
def test_numbers_of_instances(count: int, kernels: Any, reference: Callable[..., Any]) -> None:
    """300: more than one pass of the sums over masks."""
    rng = np.random.default_rng(count)
    boxes, masks = random_boxes(rng, count, (6, 5)), noise(rng, count, 2)
    expected, expected_lengths = reference(host.paste_rle, boxes, masks, (6, 5))
    counts, lengths, total = kernels.paste_rle(boxes, masks, (6, 5), len(expected) + 3)
    assert total == len(expected)
    np.testing.assert_array_equal(counts[:total], expected)
    np.testing.assert_array_equal(lengths, expected_lengths)


def test_thread_order_does_not_matter(kernels: Any) -> None:
    rng = np.random.default_rng(6)
    boxes, masks = random_boxes(rng, 6, (30, 200)), noise(rng, 6, 5)
    first = kernels.paste_rle(boxes, masks, (30, 200), 5000)
    for seed in (1, 2):
        kernels.seed = seed
        again = kernels.paste_rle(boxes, masks, (30, 200), 5000)
        np.testing.assert_array_equal(first[0], again[0])
        np.testing.assert_array_equal(first[1], again[1])


def test_an_image_of_200_megapixels(reference: Callable[..., Any]) -> None:
    """Positions near 2^28, and a mask over all of it."""
    image_size = (11_585, 17_321)
    boxes = np.array([[17_000, 11_000, 17_310, 11_580], [-20_000, -20_000, 40_000, 40_000]], np.float32)
    masks = blobs(np.random.default_rng(0), 2, 28)
    expected_counts, expected_lengths = runtime_counts(boxes, masks, image_size)
    counts, lengths = reference(host.paste_rle, boxes, masks, image_size)
    np.testing.assert_array_equal(counts, expected_counts)
    np.testing.assert_array_equal(lengths, expected_lengths)


def test_too_large_an_image_is_refused(reference: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="refused the call"):
        reference(host.paste_rle, np.zeros((0, 4), np.float32), np.zeros((0, 3, 3), np.float32), (65_536, 65_536))


@pytest.mark.parametrize("shape", [(2, 7, 3), (2, 3, 7), (2, 0, 0)])
def test_masks_that_are_not_square_are_refused(shape: tuple[int, ...], reference: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="mask_probabilities must be square"):
        reference(host.paste_rle, np.zeros((2, 4), np.float32), np.zeros(shape, np.float32), (5, 5))


@pytest.mark.parametrize(
    ("replacement", "message"),
    [
        ({"boxes": np.zeros((3, 4))}, "boxes must be float32"),
        ({"mask_probabilities": np.zeros((2, 7, 7), np.float32)}, r"mask_probabilities must be .* \(3, any, any\)"),
        ({"mask_probabilities": np.zeros((3, 7, 8), np.float32)}, "must be square"),
        ({"counts": np.zeros(9, np.int32)}, "counts must be uint32"),
        ({"lengths": np.zeros(2, np.int32)}, r"lengths must be int32 of shape \(3\)"),
        ({"total": np.zeros(1, np.int32)}, "total must be int64"),
        ({"num": np.zeros(2, np.int32)}, r"num must be int32 of shape \(1\)"),
        ({"workspace": np.zeros(47, np.uint8)}, "the workspace must have 48 bytes, but has 47"),
    ],
)
def test_device_says_what_does_not_fit(
    replacement: dict[str, np.ndarray], message: str, kernels: Any, as_device_array: Callable[..., Any]
) -> None:
    kernels.paste_rle(np.zeros((1, 4), np.float32), np.zeros((1, 7, 7), np.float32), (5, 6), 1)  # finds the library
    arrays = {
        "boxes": np.zeros((3, 4), np.float32),
        "mask_probabilities": np.zeros((3, 7, 7), np.float32),
        "counts": np.zeros(9, np.uint32),
        "lengths": np.zeros(3, np.int32),
        "total": np.zeros(1, np.int64),
        "workspace": np.zeros(48, np.uint8),
        **replacement,
    }
    with pytest.raises(ValueError, match=message):
        device.paste_rle(image_size=(5, 6), **{name: as_device_array(array) for name, array in arrays.items()})
