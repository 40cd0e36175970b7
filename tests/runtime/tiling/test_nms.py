"""NMS on the host against torchvision's, index for index."""

import numpy as np
import pytest
import torch
from torchvision.ops import boxes as torchvision_boxes

from maskrt.runtime.tiling.nms import nms


def torchvision_nms(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, threshold: float) -> list[int]:
    """torchvision's NMS per class. Its trick for many classes, shifting the coordinates, rounds them."""
    kept = torch.zeros(len(boxes), dtype=torch.bool)
    for label in np.unique(labels):
        members = torch.from_numpy(np.flatnonzero(labels == label))
        found = torchvision_boxes.nms(torch.from_numpy(boxes)[members], torch.from_numpy(scores)[members], threshold)
        kept[members[found]] = True
    indices = np.flatnonzero(kept.numpy())
    return indices[np.argsort(-scores[indices], kind="stable")].tolist()


def random_boxes(rng: np.random.Generator, number: int, extent: float) -> np.ndarray:
    corners = rng.uniform(0, extent, (number, 2))
    return np.concatenate((corners, corners + rng.uniform(0, 40, (number, 2))), axis=1).astype(np.float32)


@pytest.mark.parametrize("number", [0, 1, 2, 255, 256, 257, 600])
def test_equals_torchvision(rng: np.random.Generator, number: int) -> None:
    for threshold in (0.0, 0.3, 0.5, 0.7, 1.0):
        boxes = random_boxes(rng, number, extent=20 * number**0.5)
        scores = rng.random(number, dtype=np.float32).round(2)  # with ties
        labels = rng.integers(1, 4, number).astype(np.int32)
        kept = nms(boxes, scores, labels, threshold)
        assert kept.dtype == np.int64
        assert kept.tolist() == torchvision_nms(boxes, scores, labels, threshold)


def test_many_sets_on_a_grid(rng: np.random.Generator) -> None:
    """Boxes on whole pixels: IoUs that equal the threshold to the last bit, and boxes without area."""
    for _ in range(300):
        number = int(rng.integers(1, 60))
        corners = rng.integers(0, 8, (number, 2))
        boxes = np.concatenate((corners, corners + rng.integers(0, 6, (number, 2))), axis=1).astype(np.float32)
        scores = rng.integers(0, 5, number).astype(np.float32) / 4
        labels = rng.integers(1, 3, number).astype(np.int32)
        threshold = float(rng.choice([0.1, 0.2, 0.25, 1 / 3, 0.4, 0.5, 0.6, 2 / 3]))
        assert nms(boxes, scores, labels, threshold).tolist() == torchvision_nms(boxes, scores, labels, threshold)


@pytest.mark.parametrize("extent", [500, 50], ids=["side by side", "in a pile"])
def test_thousands_of_boxes(rng: np.random.Generator, extent: float) -> None:
    boxes = random_boxes(rng, 6000, extent)
    scores = rng.random(6000, dtype=np.float32).round(3)  # with ties
    labels = rng.integers(1, 3, 6000).astype(np.int32)
    kept = nms(boxes, scores, labels, 0.4)
    assert 500 < len(kept) < 5000
    assert kept.tolist() == torchvision_nms(boxes, scores, labels, 0.4)


def test_the_threshold_itself_does_not_suppress() -> None:
    """IoU 1/2 at threshold 0.5; and 0.4, which no float32 is, at an IoU of float32(2/5), which lies above it."""
    halves = np.array([[0, 0, 2, 1], [0, 0, 1, 1]], dtype=np.float32)
    scores, labels = np.array([0.9, 0.8], dtype=np.float32), np.array([1, 1])
    assert nms(halves, scores, labels, 0.5).tolist() == [0, 1]
    assert nms(halves, scores, labels, 0.499).tolist() == [0]
    fifths = np.array([[0, 0, 5, 1], [0, 0, 2, 1]], dtype=np.float32)
    assert float(np.float32(2) / np.float32(5)) > 0.4
    assert nms(fifths, scores, labels, 0.4).tolist() == [0] == torchvision_nms(fifths, scores, labels, 0.4)


def test_classes_do_not_touch_each_other() -> None:
    boxes = np.array([[0, 0, 10, 10]] * 3, dtype=np.float32)
    assert nms(boxes, np.array([0.5, 0.9, 0.7], dtype=np.float32), np.array([1, 2, 1]), 0.5).tolist() == [1, 2]


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_coordinates_that_are_no_numbers_suppress_nothing(odd: float) -> None:
    for column in range(4):
        boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]], dtype=np.float32)
        boxes[0, column] = odd
        kept = nms(boxes, np.array([0.9, 0.8, 0.7], dtype=np.float32), np.array([1, 1, 1]), 0.5)
        assert kept.tolist() == [0, 1]
