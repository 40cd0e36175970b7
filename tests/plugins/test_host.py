"""The host arithmetic against torchvision and against ONNX's own test cases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx.backend.test.case import node as onnx_cases
from onnx.backend.test.case.node import nonmaxsuppression, roialign  # noqa: F401  (importing them makes their cases)
from torch.nn.functional import max_pool2d
from torchvision.ops import MultiScaleRoIAlign, batched_nms, roi_align
from torchvision.ops.boxes import _batched_nms_vanilla
from torchvision.ops.poolers import LevelMapper

from maskrt.export.rcnn.levels import level_thresholds
from maskrt.plugins import host
from maskrt.plugins.attributes import RoiAlignAttributes

from ..support.level_rules import levels_of, rule_of

TRANSFORMATIONS = {False: "output_half_pixel", True: "half_pixel"}
ZERO, HALF = np.array([[0.0]], np.float32), np.array([[0.5]], np.float32)  # thresholds of one image


@pytest.fixture(autouse=True)
def host_library(host_directory: Path, use_libraries: Callable[[Path], None]) -> None:
    use_libraries(host_directory)


def random_rois(generator: torch.Generator, count: int, extent: float) -> torch.Tensor:
    """[count, 4] of all sizes, partly and wholly outside of an extent x extent canvas, empty ones among them."""
    start = torch.rand(count, 2, generator=generator) * extent * 1.5 - extent * 0.25
    size = torch.exp(torch.rand(count, 2, generator=generator) * 6)
    rois = torch.cat([start, start + size], 1)
    rois[::10, 2:] = rois[::10, :2]
    return rois


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [7, 14])
def test_roi_align_equals_torchvision(aligned: bool, sampling_ratio: int, size: int) -> None:
    generator = torch.Generator().manual_seed(size + sampling_ratio)
    feature = torch.randn(2, 11, 37, 53, generator=generator)
    rois = random_rois(generator, 300, 400).view(2, 150, 4)
    attributes = RoiAlignAttributes(size, size, sampling_ratio, (0.125,), (), TRANSFORMATIONS[aligned])
    result = host.multilevel_roi_align(rois.numpy(), [feature.numpy()], attributes)
    expected = roi_align(feature, list(rois), size, 0.125, sampling_ratio, aligned)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)
    assert np.count_nonzero(result) > result.size // 4


def test_inverted_rois_at_a_fixed_ratio_equal_torchvision() -> None:
    generator = torch.Generator().manual_seed(1)
    feature = torch.randn(1, 3, 40, 40, generator=generator)
    rois = random_rois(generator, 100, 300)[:, [2, 3, 0, 1]].contiguous()
    for aligned, transformation in TRANSFORMATIONS.items():
        attributes = RoiAlignAttributes(7, 7, 2, (0.125,), (), transformation)
        result = host.multilevel_roi_align(rois[None].numpy(), [feature.numpy()], attributes)
        np.testing.assert_allclose(result, roi_align(feature, [rois], 7, 0.125, 2, aligned), rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [7, 14, 40])  # 40: more bins than taps are merged for
def test_what_samples_outside_would_read_does_not_show(size: int) -> None:
    """A pixel at the edge may be infinite: where another value of it makes no difference, this makes none either."""
    rois = np.array(
        [[[-1000, 40, 110, 110], [40, -1000, 110, 110], [40, 40, 1000, 110], [40, 40, 110, 1000]]], np.float32
    )
    results = []
    for edge in (7, 9, np.inf):
        feature = np.full((1, 1, 20, 20), edge, np.float32)
        feature[..., 2:18, 2:18] = 1
        results.append(host.multilevel_roi_align(rois, [feature], RoiAlignAttributes(size, size, 2, (0.125,))))
    same = results[0] == results[1]
    np.testing.assert_array_equal(results[2][same], results[0][same])
    assert (results[2] == 0).any() and (results[0][same] > 0).any()


def test_adaptive_sampling_of_an_inverted_roi_averages_nothing() -> None:
    feature = np.ones((1, 2, 20, 20), np.float32)
    rois = np.array([[[60, 60, 10, 90], [60, 60, 90, 10], [60, 60, 10, 10], [30, 30, 30, 90]]], np.float32)
    result = host.multilevel_roi_align(rois, [feature], RoiAlignAttributes(7, 7, 0, (0.125,)))
    np.testing.assert_array_equal(result, np.zeros((4, 2, 7, 7)))


@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("transformation", TRANSFORMATIONS.values())
def test_nan_coordinates_give_zero(sampling_ratio: int, transformation: str) -> None:
    rois = np.full((1, 16, 4), [10, 10, 90, 90], np.float32)
    for subset in range(1, 16):
        rois[0, subset, [axis for axis in range(4) if subset >> axis & 1]] = np.nan
    attributes = RoiAlignAttributes(7, 7, sampling_ratio, (0.125,), (), transformation)
    result = host.multilevel_roi_align(rois, [np.ones((1, 1, 20, 20), np.float32)], attributes)
    np.testing.assert_allclose(result[0], 1, rtol=1e-6)
    np.testing.assert_array_equal(result[1:], 0)


@pytest.mark.parametrize("aligned", [False, True])
def test_huge_rois_equal_torchvision(aligned: bool) -> None:
    """As large as torchvision still computes them: it visits every sample."""
    feature = torch.randn(1, 2, 13, 17, generator=torch.Generator().manual_seed(0))
    rois = torch.tensor(
        [[-1e3, -2e3, 1e3, 2e3], [-30.0, -5e4, 60.0, 5e4], [-1e5, 10.0, 1e5, 40.0], [5.0, 5.0, 3e3, 9e2]]
    )
    for sampling_ratio in (0, 2):
        attributes = RoiAlignAttributes(7, 7, sampling_ratio, (0.5,), (), TRANSFORMATIONS[aligned])
        result = host.multilevel_roi_align(rois[None].numpy(), [feature.numpy()], attributes)
        expected = roi_align(feature, [rois], 7, 0.5, sampling_ratio, aligned)
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)


def test_unbounded_rois_end_and_are_finite() -> None:
    rois = np.array(
        [[-3e38, -3e38, 3e38, 3e38], [-np.inf] * 2 + [np.inf] * 2, [0, 0, 1e9, 1e9], [-1e7, -1e7, 1e7, 1e7]]
    )
    for transformation in TRANSFORMATIONS.values():
        attributes = RoiAlignAttributes(7, 7, 0, (0.25,), (), transformation)
        features = [np.ones((1, 1, 200, 300), np.float32)]
        result = host.multilevel_roi_align(rois[None].astype(np.float32), features, attributes)
        assert np.isfinite(result).all()
        assert np.abs(result).max() < 1e-3  # nearly all of such an RoI is outside


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling_ratio", [1, 2, 3])
@pytest.mark.parametrize("size", [7, 14])
def test_max_is_the_maximum_over_torchvisions_samples(aligned: bool, sampling_ratio: int, size: int) -> None:
    # Values in [0, 1), because the two round the samples' coordinates differently: the last bit of a coordinate
    # near 40 is 4e-6, and moves a sample by that times the slope.
    generator = torch.Generator().manual_seed(sampling_ratio)
    feature = torch.rand(1, 5, 37, 53, generator=generator)
    rois = random_rois(generator, 100, 400)
    attributes = RoiAlignAttributes(size, size, sampling_ratio, (0.125,), (), TRANSFORMATIONS[aligned], "max")
    result = host.multilevel_roi_align(rois[None].numpy(), [feature.numpy()], attributes)
    samples = roi_align(feature, [rois], size * sampling_ratio, 0.125, 1, aligned)
    np.testing.assert_allclose(result, max_pool2d(samples, sampling_ratio), rtol=0, atol=1e-5)


def test_max_of_nan_is_nan() -> None:
    feature = np.ones((1, 1, 8, 8), np.float32)
    feature[0, 0, 3, 3] = np.nan
    rois = np.array([[[0, 0, 8, 8]]], np.float32)
    result = host.multilevel_roi_align(rois, [feature], RoiAlignAttributes(1, 1, 8, (1.0,), (), "half_pixel", "max"))
    assert np.isnan(result).all()


def test_levels_equal_level_mapper() -> None:
    """Bit for bit, at every power of two that torchvision's logarithm crosses and on random boxes."""
    mapper = LevelMapper(2, 5)
    thresholds = level_thresholds(rule_of(mapper), levels_of(mapper))
    generator = torch.Generator().manual_seed(0)
    side = torch.exp(torch.rand(200_000, 2, generator=generator) * 8)
    rois = torch.cat([torch.zeros_like(side), side], 1)
    near = []
    for threshold in thresholds:
        bits = np.float32(threshold).view(np.int32) + np.arange(-300, 300, dtype=np.int32)
        edge = torch.from_numpy(bits.view(np.float32))
        near.append(torch.stack([torch.zeros_like(edge), torch.zeros_like(edge), edge, edge], 1))
    rois = torch.cat([rois, *near])
    expected = mapper([rois])
    np.testing.assert_array_equal(host.select_levels(rois.numpy(), thresholds), expected)
    assert set(expected.tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_multilevel_equals_multi_scale_roi_align(sampling_ratio: int) -> None:
    generator = torch.Generator().manual_seed(4)
    features = {str(i): torch.randn(2, 6, 128 >> i, 192 >> i, generator=generator) for i in range(4)}
    rois = random_rois(generator, 400, 600).view(2, 200, 4)
    pooler = MultiScaleRoIAlign(list(features), 7, sampling_ratio)
    expected = pooler(features, list(rois), [(512, 768)] * 2)
    assert pooler.scales is not None and pooler.map_levels is not None
    thresholds = level_thresholds(rule_of(pooler.map_levels), levels_of(pooler.map_levels))
    attributes = RoiAlignAttributes(
        7, 7, sampling_ratio, tuple(pooler.scales), tuple(thresholds), TRANSFORMATIONS[False]
    )
    result = host.multilevel_roi_align(rois.numpy(), [f.numpy() for f in features.values()], attributes)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)


def test_float16_is_the_float32_result_rounded_once() -> None:
    rng = np.random.default_rng(0)
    feature = rng.standard_normal((1, 4, 30, 30)).astype(np.float16)
    rois = random_rois(torch.Generator().manual_seed(0), 50, 200).numpy()[None]
    attributes = RoiAlignAttributes(7, 7, 2, (0.125,))
    result = host.multilevel_roi_align(rois, [feature], attributes)
    assert result.dtype == np.float16
    wide = host.multilevel_roi_align(rois, [feature.astype(np.float32)], attributes)
    np.testing.assert_array_equal(result, wide.astype(np.float16))


def float32_below(threshold: float) -> np.float32:
    """Give the largest float32 at or below: comparing float32 IoUs with it is comparing them with the double."""
    nearest = np.float32(threshold)
    return nearest if float(nearest) <= threshold else np.nextafter(nearest, np.float32(-1))


def in_stable_order(keep: torch.Tensor, scores: torch.Tensor) -> np.ndarray:
    """Sort torchvision's choice by descending score, ties by lower index (its own sort leaves ties in any order)."""
    chosen = keep.sort().values
    return chosen[scores[chosen].sort(descending=True, stable=True).indices].numpy()


def test_batched_nms_equals_torchvision_on_1000_random_sets() -> None:
    generator = torch.Generator().manual_seed(0)
    kept = suppressed = same_without_reordering = 0
    for trial in range(1000):
        count = int(torch.randint(1, 150, (1,), generator=generator))
        start = torch.rand(count, 2, generator=generator) * 100
        boxes = torch.cat([start, start + torch.rand(count, 2, generator=generator) * 60], 1)
        scores = torch.rand(count, generator=generator)
        if trial % 2:  # ties, and identical boxes
            scores = (scores * 10).round() / 10
            boxes = boxes[torch.randint(0, count, (count,), generator=generator)]
        groups = torch.randint(0, 4, (count,), generator=generator)
        threshold = float(torch.rand(1, generator=generator, dtype=torch.float64))
        # Per group: batched_nms itself shifts the groups apart by adding offsets, which rounds the coordinates.
        reference = _batched_nms_vanilla(boxes, scores, groups, threshold)
        num, indices = host.batched_nms(
            boxes[None].numpy(),
            scores[None].numpy(),
            groups[None].numpy().astype(np.int32),
            np.array([[float32_below(threshold)]]),
            -np.ones((1, 1), np.float32),
            count,
        )
        np.testing.assert_array_equal(indices[0, : num[0]], in_stable_order(reference, scores))
        assert (indices[0, num[0] :] == -1).all()
        kept += int(num[0])
        suppressed += count - int(num[0])
        same_without_reordering += bool(np.array_equal(indices[0, : num[0]], reference))
    assert kept > 10_000 and suppressed > 10_000
    assert same_without_reordering >= 500  # all sets without ties


def test_batched_nms_equals_torchvisions_public_function() -> None:
    """Coordinates on a small grid, so that torchvision's offsets round nothing."""
    generator = torch.Generator().manual_seed(7)
    for _ in range(50):
        start = torch.randint(0, 100, (200, 2), generator=generator).float()
        boxes = torch.cat([start, start + torch.randint(1, 60, (200, 2), generator=generator)], 1)
        scores = torch.rand(200, generator=generator)
        groups = torch.randint(0, 3, (200,), generator=generator)
        reference = batched_nms(boxes, scores, groups, 0.5)[:40]
        num, indices = host.batched_nms(
            boxes[None].numpy(), scores[None].numpy(), groups[None].int().numpy(), HALF, ZERO, 40
        )
        np.testing.assert_array_equal(indices[0, : num[0]], reference)


def test_candidates_are_strictly_above_the_score_threshold() -> None:
    boxes = np.array([[[i * 10, 0, i * 10 + 5, 5] for i in range(4)]], np.float32)
    scores = np.array([[0.5, np.nextafter(np.float32(0.5), np.float32(1)), 0.9, np.nan]], np.float32)
    num, indices = host.batched_nms(boxes, scores, np.zeros((1, 4), np.int32), HALF, HALF, 4)
    np.testing.assert_array_equal(num, [2])
    np.testing.assert_array_equal(indices, [[2, 1, -1, -1]])


def test_boxes_that_touch_with_nan_iou_are_kept() -> None:
    boxes = np.zeros((1, 3, 4), np.float32)
    num, _ = host.batched_nms(boxes, np.ones((1, 3), np.float32), np.zeros((1, 3), np.int32), ZERO, ZERO, 3)
    np.testing.assert_array_equal(num, [3])


def node_cases(operator: str, inapplicable: set[str]) -> list[Any]:
    """ONNX's test cases of an operator, without those named (each must exist)."""
    # Not collect_testcases, which makes the cases of all operators (10 s).
    prefix = f"test_{operator}_"
    cases = {c.name.removeprefix(prefix): c for c in onnx_cases._NodeTestCases if c.name.startswith(prefix)}
    assert inapplicable < cases.keys(), sorted(cases)
    return [pytest.param(case, id=name) for name, case in cases.items() if name not in inapplicable]


# In mode max ONNX takes the maximum over weighted corners, we over interpolated samples.
@pytest.mark.parametrize("case", node_cases("roialign", {"mode_max"}))
def test_onnx_roi_align_cases(case: Any) -> None:
    node = case.model.graph.node[0]
    given = {attribute.name: attribute for attribute in node.attribute}
    for inputs, outputs in case.data_sets:
        feature, rois, images = inputs
        assert (images == 0).all()
        attributes = RoiAlignAttributes(
            given["output_height"].i,
            given["output_width"].i,
            given["sampling_ratio"].i,
            (given["spatial_scale"].f,),
            (),
            given["coordinate_transformation_mode"].s.decode(),
        )
        result = host.multilevel_roi_align(rois[None].astype(np.float32), [feature.astype(np.float32)], attributes)
        np.testing.assert_allclose(result, outputs[0], rtol=0, atol=1e-4)  # the cases give four decimals


# torchvision's boxes have x1 <= x2.
@pytest.mark.parametrize("case", node_cases("nonmaxsuppression", {"flipped_coordinates"}))
def test_onnx_non_max_suppression_cases(case: Any) -> None:
    """One candidate per box and class, the class as the group; ONNX limits each class, we the image."""
    centered = any(a.name == "center_point_box" and a.i == 1 for a in case.model.graph.node[0].attribute)
    for inputs, outputs in case.data_sets:
        boxes, scores, per_class, iou_threshold, score_threshold = inputs
        batch, classes, count = scores.shape
        if centered:
            boxes = np.concatenate([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1)
        num, indices = host.batched_nms(
            np.tile(boxes, (1, classes, 1)).astype(np.float32),
            scores.reshape(batch, -1),
            np.broadcast_to(np.repeat(np.arange(classes, dtype=np.int32), count), (batch, classes * count)),
            np.full((batch, 1), iou_threshold),
            np.full((batch, 1), score_threshold),
            classes * count,
        )
        selected = []
        for image in range(batch):
            kept = indices[image, : num[image]]
            for label in range(classes):
                of_class = kept[kept // count == label][: int(per_class[0])]
                selected += [[image, label, index % count] for index in of_class.tolist()]
        np.testing.assert_array_equal(selected, outputs[0])


@pytest.mark.parametrize(
    ("rois", "features", "message"),
    [
        (
            np.zeros((1, 2, 4)),
            [np.zeros((1, 1, 4, 4), np.float32)],
            r"rois must be float32 .* but is float64",
        ),
        (
            np.zeros((2, 4), np.float32),
            [np.zeros((1, 1, 4, 4), np.float32)],
            r"rois must be .* of shape \(2, 4\)",
        ),
        (np.zeros((1, 2, 4), np.float32), [], "1 scales need as many features, but there are 0"),
        (np.zeros((1, 2, 4), np.float32), [np.zeros((1, 1, 4, 4))], "feature_0 is float64"),
        (
            np.zeros((1, 2, 4), np.float32),
            [np.zeros((3, 1, 4, 4), np.float32)],
            r"feature_0 must be .* \(1, 1,",
        ),
        (np.zeros((1, 2, 4), np.float32), [np.zeros((1, 1, 0, 4), np.float32)], "at least one pixel"),
    ],
)
def test_roi_align_says_what_does_not_fit(rois: np.ndarray, features: list[np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        host.multilevel_roi_align(rois, features, RoiAlignAttributes(7, 7, 2, (0.25,)))


def test_batched_nms_says_what_does_not_fit() -> None:
    boxes, scores = np.zeros((1, 3, 4), np.float32), np.zeros((1, 3), np.float32)
    groups = np.zeros((1, 3), np.int32)
    with pytest.raises(ValueError, match="groups must be int32"):
        host.batched_nms(boxes, scores, groups.astype(np.int64), HALF, HALF, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"scores must be float32 of shape \(1, 3\)"):
        host.batched_nms(boxes, scores[:, :2], groups, HALF, HALF, 1)
    with pytest.raises(ValueError, match="max_output must be at least 1"):
        host.batched_nms(boxes, scores, groups, HALF, HALF, 0)
