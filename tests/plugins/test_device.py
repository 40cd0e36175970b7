"""The CUDA kernels against the host build of their arithmetic: emulated on the CPU, and on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskrt.plugins import host
from maskrt.plugins.attributes import RoiAlignAttributes

SCALES = (0.25, 0.125, 0.0625, 0.03125)
THRESHOLDS = (112.0, 224.0, 448.0)
ODD = np.array(
    [
        [0, 0, 0, 0],
        [50, 60, 50, 90],
        [300, 200, 100, 50],  # inverted
        [-500, -500, -100, -100],  # wholly outside
        [-40, -30, 60, 80],
        [200, 150, 900, 700],
        [np.nan, 0, 50, 50],
        [0, 0, np.nan, 50],
        [-1e6, -1e6, 1e6, 1e6],
        [np.inf, np.inf, np.inf, np.inf],
        [-np.inf, -np.inf, np.inf, np.inf],
        [-3e38, -3e38, 3e38, 3e38],
    ],
    np.float32,
)


def random_rois(rng: np.random.Generator, batch: int, count: int) -> np.ndarray:
    """[batch, count, 4] around and partly outside of a 256 x 320 canvas, of all sizes, with odd ones in front."""
    corner = rng.uniform(-30, 300, (batch, count, 2))
    rois = np.concatenate([corner, corner + np.exp(rng.uniform(0, 6.5, (batch, count, 2)))], -1).astype(np.float32)
    rois[:, : len(ODD)] = ODD[:count]
    return rois


def random_features(rng: np.random.Generator, batch: int, channels: int, dtype: type) -> list[np.ndarray]:
    return [
        rng.standard_normal((batch, channels, int(256 * scale), int(320 * scale))).astype(dtype) for scale in SCALES
    ]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize(
    ("mode", "sampling_ratio"),
    [("avg", 0), ("avg", 1), ("avg", 2), ("avg", 3), ("max", 1), ("max", 2), ("max", 3)],
)
@pytest.mark.parametrize("transformation", ["half_pixel", "output_half_pixel"])
def test_roi_align_equals_host(
    kernels: Any,
    reference: Callable[..., Any],
    mode: str,
    sampling_ratio: int,
    transformation: str,
    dtype: type,
    channels_last: bool,
) -> None:
    rng = np.random.default_rng(sampling_ratio)
    attributes = RoiAlignAttributes(7, 7, sampling_ratio, SCALES, THRESHOLDS, transformation, mode)
    rois, features = random_rois(rng, 2, 24), random_features(rng, 2, 24, dtype)
    result = kernels.roi_align(rois, features, attributes, channels_last)
    # The same arithmetic in the same order, without contraction: the same bits, in float16 rounded once.
    np.testing.assert_array_equal(result, reference(host.multilevel_roi_align, rois, features, attributes))


@pytest.mark.parametrize(("channels", "channels_last"), [(1, False), (5, False), (13, False), (8, True), (264, True)])
def test_roi_align_channel_counts(
    kernels: Any, reference: Callable[..., Any], channels: int, channels_last: bool
) -> None:
    rng = np.random.default_rng(channels)
    attributes = RoiAlignAttributes(3, 5, 2, (0.25,))
    rois = random_rois(rng, 1, 20)
    for dtype in (np.float32, np.float16):
        features = [rng.standard_normal((1, channels, 40, 50)).astype(dtype)]
        result = kernels.roi_align(rois, features, attributes, channels_last)
        np.testing.assert_array_equal(result, reference(host.multilevel_roi_align, rois, features, attributes))


@pytest.mark.parametrize(("batch", "count"), [(0, 5), (3, 0), (5, 1)])
def test_roi_align_batches(kernels: Any, reference: Callable[..., Any], batch: int, count: int) -> None:
    rng = np.random.default_rng(0)
    attributes = RoiAlignAttributes(14, 14, 2, SCALES[:2], THRESHOLDS[:1])
    rois = np.ascontiguousarray(rng.uniform(0, 200, (batch, count, 4)).astype(np.float32))
    features = random_features(rng, batch, 8, np.float32)[:2]
    result = kernels.roi_align(rois, features, attributes)
    assert result.shape == (batch * count, 8, 14, 14)
    np.testing.assert_array_equal(result, reference(host.multilevel_roi_align, rois, features, attributes))


def test_rois_are_pooled_level_by_level(emulated_kernels: Any, reference: Callable[..., Any]) -> None:
    """And from top to bottom in a level; each image's RoIs are its own, and NaN has a place, too."""
    rng = np.random.default_rng(0)
    attributes = RoiAlignAttributes(1, 1, 2, SCALES, THRESHOLDS)
    rois, features = random_rois(rng, 2, 300), random_features(rng, 2, 2, np.float32)
    result = emulated_kernels.roi_align(rois, features, attributes)
    np.testing.assert_array_equal(result, reference(host.multilevel_roi_align, rois, features, attributes))
    levels = reference(host.select_levels, rois, THRESHOLDS)
    for image, order in enumerate(emulated_kernels.order):
        assert sorted(order) == list(range(300))
        assert (np.diff(levels[image, order]) >= 0).all()
        finest = [index for index in order if levels[image, index] == 0 and index >= len(ODD)]
        middle = rois[image, finest][:, 1::2].mean(axis=1).clip(min=0)
        assert len(finest) > 50
        assert (np.diff(middle) > -4 * 16).all()  # a tile, in pixels of the canvas


def test_more_rois_than_are_ordered(emulated_kernels: Any, reference: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    attributes = RoiAlignAttributes(1, 1, 1, SCALES[:2], THRESHOLDS[:1])
    features = random_features(rng, 1, 1, np.float32)[:2]
    for count, ordered in ((2048, True), (2049, False)):
        rois = random_rois(rng, 1, count)
        result = emulated_kernels.roi_align(rois, features, attributes)
        np.testing.assert_array_equal(result, reference(host.multilevel_roi_align, rois, features, attributes))
        assert (sorted(emulated_kernels.order[0]) == list(range(count))) == ordered


def per_image(batch: int, threshold: float) -> np.ndarray:
    """Give all images one threshold: [batch, 1] float32."""
    return np.full((batch, 1), threshold, np.float32)


def random_boxes(
    rng: np.random.Generator, batch: int, count: int, groups: int, spread: float = 100.0, levels: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Overlapping boxes with scores in [0, 1), on `levels` distinct values if given, and groups 0 … groups - 1."""
    corner = rng.uniform(0, spread, (batch, count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0, 40, (batch, count, 2))], -1).astype(np.float32)
    scores = rng.random((batch, count)).astype(np.float32)
    if levels:
        scores = np.floor(scores * levels).astype(np.float32) / np.float32(levels)
    return boxes, scores, rng.integers(0, groups, (batch, count), np.int32)


@pytest.mark.parametrize(
    ("batch", "count", "groups", "max_output", "levels", "iou", "score"),
    [
        (2, 1, 1, 1, 0, 0.5, 0.0),
        (1, 64, 1, 64, 0, 0.5, 0.0),
        (1, 65, 1, 3, 5, 0.5, 0.0),
        (3, 500, 5, 100, 7, 0.3, 0.1),
        (2, 1500, 3, 1000, 0, 0.5, 0.05),
        (1, 2048, 2, 2048, 50, 0.7, 0.0),
        (1, 2500, 1, 40, 0, 0.1, 0.0),  # two sorted runs, stops early
        (1, 4819, 5, 1000, 0, 0.7, -1.0),  # a region proposal network's levels: one round
        (2, 9000, 90, 100, 100, 0.5, 0.5),  # three runs
        (
            1,
            10000,
            1,
            200,
            0,
            0.02,
            0.0,
        ),  # one merge pass of five runs, several rounds, most suppressed early
        (1, 3000, 4, 50, 0, 0.5, 2.0),  # no candidates
    ],
)
def test_batched_nms_equals_host(
    kernels: Any,
    reference: Callable[..., Any],
    batch: int,
    count: int,
    groups: int,
    max_output: int,
    levels: int,
    iou: float,
    score: float,
) -> None:
    arrays = random_boxes(np.random.default_rng(count), batch, count, groups, levels=levels)
    thresholds = per_image(batch, iou), per_image(batch, score)
    num, indices = kernels.batched_nms(*arrays, *thresholds, max_output)
    expected_num, expected = reference(host.batched_nms, *arrays, *thresholds, max_output)
    np.testing.assert_array_equal(num, expected_num)
    np.testing.assert_array_equal(indices, expected)


def test_batched_nms_odd_values(kernels: Any, reference: Callable[..., Any]) -> None:
    boxes, scores, groups = random_boxes(np.random.default_rng(3), 2, 300, 2)
    scores[:, ::7] = np.nan
    scores[:, 1::7] = np.inf
    scores[:, 2::14] = -0.0
    scores[:, 9::14] = 0.0
    boxes[:, 3::10, 0] = np.nan
    boxes[:, 4::10] = 0
    boxes[:, 5::10, 2:] = np.inf
    boxes[:, 6::10] = boxes[:, 6::10, [2, 3, 0, 1]]
    groups[groups == 1] = -(2**31)
    for iou, score in ((0.5, -1.0), (0.0, -np.inf), (-1.0, -1.0), (1.0, 0.0)):
        thresholds = per_image(2, iou), per_image(2, score)
        result = kernels.batched_nms(boxes, scores, groups, *thresholds, 250)
        expected = reference(host.batched_nms, boxes, scores, groups, *thresholds, 250)
        np.testing.assert_array_equal(result[0], expected[0])
        np.testing.assert_array_equal(result[1], expected[1])


@pytest.mark.parametrize(("batch", "count"), [(0, 10), (2, 0)])
def test_batched_nms_of_nothing(kernels: Any, batch: int, count: int) -> None:
    boxes = np.zeros((batch, count, 4), np.float32)
    scores, groups = np.zeros((batch, count), np.float32), np.zeros((batch, count), np.int32)
    num, indices = kernels.batched_nms(boxes, scores, groups, per_image(batch, 0.5), per_image(batch, 0.0), 7)
    np.testing.assert_array_equal(num, np.zeros(batch))
    np.testing.assert_array_equal(indices, np.full((batch, 7), -1))


def test_a_chain_in_which_each_box_suppresses_the_next(kernels: Any, reference: Callable[..., Any]) -> None:
    start = np.arange(300, dtype=np.float32) * 4
    boxes = np.stack([start, np.zeros_like(start), start + 10, np.full_like(start, 10)], -1)[None]
    scores = np.linspace(1, 0.5, 300, dtype=np.float32)[None]
    groups = np.zeros((1, 300), np.int32)
    num, indices = kernels.batched_nms(boxes, scores, groups, per_image(1, 0.4), per_image(1, 0.0), 300)
    np.testing.assert_array_equal(num, [150])
    np.testing.assert_array_equal(indices[0, :150], np.arange(0, 300, 2))


def test_thread_order_does_not_matter(emulated_directory: Path, kernels: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = (*random_boxes(np.random.default_rng(5), 1, 2600, 3, levels=200), per_image(1, 0.5), per_image(1, 0.2))
    first = kernels.batched_nms(*arrays, 300)
    for seed in (1, 2):
        kernels.seed = seed
        again = kernels.batched_nms(*arrays, 300)
        np.testing.assert_array_equal(first[0], again[0])
        np.testing.assert_array_equal(first[1], again[1])
