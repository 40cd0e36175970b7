"""Thresholds of NMS that are each image's own: in the host build, in the emulated kernels and on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from maskrt.plugins import host

Nms = Callable[..., tuple[np.ndarray, np.ndarray]]


@pytest.fixture
def host_nms(reference: Callable[..., Any]) -> Nms:
    """Give the host build's `batched_nms`."""
    return lambda *arguments: reference(host.batched_nms, *arguments)


@pytest.fixture(params=["host", "emulated", pytest.param("gpu", marks=pytest.mark.gpu)])
def nms(request: pytest.FixtureRequest) -> Nms:
    """Give `batched_nms` in each of its forms."""
    if request.param == "host":
        return request.getfixturevalue("host_nms")
    return request.getfixturevalue(f"{request.param}_kernels").batched_nms


def test_each_image_has_its_own_thresholds(nms: Nms) -> None:
    """One scene, four times: two boxes with an IoU of 0.6, and one with a score of 0.25."""
    boxes = np.array([[[0, 0, 10, 10], [0, 0, 10, 6], [50, 50, 60, 60]]] * 4, np.float32)
    scores = np.array([[0.9, 0.8, 0.25]] * 4, np.float32)
    iou_threshold = np.array([[0.5], [0.7], [0.5], [0.7]], np.float32)
    score_threshold = np.array([[0.0], [0.0], [0.25], [0.85]], np.float32)
    num, indices = nms(boxes, scores, np.zeros((4, 3), np.int32), iou_threshold, score_threshold, 3)
    np.testing.assert_array_equal(num, [2, 3, 1, 1])
    np.testing.assert_array_equal(indices, [[0, 2, -1], [0, 1, 2], [0, -1, -1], [0, -1, -1]])


def clustered_boxes(rng: np.random.Generator, batch: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make boxes as a detector gives them: many around each of a few objects, some there twice, with scores that tie.

    Returns:
        boxes [batch, count, 4], scores [batch, count] in hundredths, groups [batch, count].
    """
    objects = rng.integers(2, 12)
    corner = rng.uniform(0, 200, (batch, objects, 2))
    centers = np.concatenate([corner, corner + rng.uniform(10, 80, (batch, objects, 2))], -1)
    chosen = rng.integers(0, objects, (batch, count, 1))
    boxes = np.take_along_axis(centers, chosen, 1) + rng.normal(0, 4, (batch, count, 4))
    twins = rng.integers(0, count, count // 5)
    boxes[:, : len(twins)] = boxes[:, twins]
    scores = rng.integers(0, 101, (batch, count)) / 100
    groups = rng.integers(0, 3, (batch, count), np.int32)
    return boxes.astype(np.float32), scores.astype(np.float32), groups


# In the last, more candidates than the first round of suppression takes.
@pytest.mark.parametrize(("batch", "count", "max_output"), [(5, 300, 20), (3, 700, 700), (2, 2500, 100)])
def test_a_batch_equals_one_by_one_calls(nms: Nms, host_nms: Nms, batch: int, count: int, max_output: int) -> None:
    seed = np.random.SeedSequence().entropy
    rng = np.random.default_rng(seed)
    arrays = (
        *clustered_boxes(rng, batch, count),
        rng.uniform(0.1, 0.9, (batch, 1)).astype(np.float32),
        (rng.integers(0, 80, (batch, 1)) / 100).astype(np.float32),  # the score of some boxes
    )
    num, indices = nms(*arrays, max_output)
    for image in range(batch):
        one = [array[image : image + 1].copy() for array in arrays]
        for single in (nms, host_nms):
            expected_num, expected = single(*one, max_output)
            np.testing.assert_array_equal(num[image], expected_num[0], f"image {image}, seed {seed}")
            np.testing.assert_array_equal(indices[image], expected[0], f"image {image}, seed {seed}")


@pytest.mark.parametrize("name", ["iou_threshold", "score_threshold"])
@pytest.mark.parametrize(
    ("threshold", "given"),
    [
        (np.full(1, 0.5, np.float32), r"float32 of shape \(1,\)"),
        (np.full((1, 1), 0.5, np.float32), r"float32 of shape \(1, 1\)"),
        (np.full((2, 2), 0.5, np.float32), r"float32 of shape \(2, 2\)"),
        (np.full((2, 1), 0.5), r"float64 of shape \(2, 1\)"),
    ],
)
def test_says_that_a_threshold_has_not_one_row_per_image(
    nms: Nms, name: str, threshold: np.ndarray, given: str
) -> None:
    boxes, scores, groups = np.zeros((2, 3, 4), np.float32), np.zeros((2, 3), np.float32), np.zeros((2, 3), np.int32)
    fit = np.full((2, 1), 0.5, np.float32)
    thresholds = {"iou_threshold": fit, "score_threshold": fit, name: threshold}
    with pytest.raises(ValueError, match=rf"{name} must be float32 of shape \(2, 1\), but is {given}"):
        nms(boxes, scores, groups, *thresholds.values(), 1)
