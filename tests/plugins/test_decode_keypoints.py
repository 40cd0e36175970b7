"""DecodeKeypoints: the host build against torchvision, the kernel and the plugin against the host build."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints

from maskrt.plugins import abi, host

MAP = 56


def random_boxes(rng: np.random.Generator, count: int, longest: float) -> np.ndarray:
    """[count, 4] with sides from 1 to `longest` pixels, evenly on a logarithmic scale."""
    corner = rng.uniform(-50, 500, (count, 2))
    return np.concatenate([corner, corner + longest ** rng.random((count, 2))], 1).astype(np.float32)


def odd_heatmaps(rng: np.random.Generator, count: int, keypoints: int) -> np.ndarray:
    """[count, keypoints, MAP, MAP]: flat ones, ones with ties, with NaN and with infinities, and others."""
    maps = rng.standard_normal((count, keypoints, MAP, MAP)).astype(np.float32)
    maps[0::10] = 0
    maps[1::10] = rng.uniform(-5, 5, maps[1::10].shape[:2] + (1, 1))
    maps[2::10] = np.round(maps[2::10])
    maps[3::10, :, 20:24, 30:40] = 7
    maps[4::10, :, 11, 5] = np.nan
    maps[5::10, :, 11, 5] = np.nan
    maps[5::10, :, 40, 50] = np.inf
    maps[6::10] = -np.inf
    return maps


def same_positions(found: np.ndarray, boxes: np.ndarray, heatmaps: np.ndarray) -> np.ndarray:
    """Tell [R, N] whether x and y are torchvision's."""
    expected, _ = heatmaps_to_keypoints(torch.from_numpy(heatmaps), torch.from_numpy(boxes))
    return (found[..., :2] == expected[..., :2].numpy()).all(axis=-1)


def decode(reference: Callable[..., Any], boxes: np.ndarray, heatmaps: np.ndarray, *, normalized: bool) -> np.ndarray:
    """On the host: [R, N, 3]."""
    return reference(lambda: host.decode_keypoints(boxes[None], heatmaps, normalized=normalized))[0]


def test_positions_and_logits_on_the_host_are_torchvisions(reference: Callable[..., Any]) -> None:
    """Of 1,000 maps and boxes of 1 to 1000 px, a part of the maps flat, tied or with NaN."""
    rng = np.random.default_rng(0)
    boxes = random_boxes(rng, 1000, 1000)
    heatmaps = rng.standard_normal((1000, 1, MAP, MAP)).astype(np.float32)
    heatmaps[:200] = odd_heatmaps(rng, 200, 1)
    found = decode(reference, boxes, heatmaps, normalized=False)
    expected, logits = heatmaps_to_keypoints(torch.from_numpy(heatmaps), torch.from_numpy(boxes))
    if torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"):  # whose kernels fuse as the host build does
        np.testing.assert_array_equal(found[..., :2], expected[..., :2])
        np.testing.assert_array_equal(found[..., 2], logits)
    else:
        np.testing.assert_array_equal(found[200:, :, :2], expected[200:, :, :2])
        np.testing.assert_allclose(found[..., 2], logits, rtol=1e-5, atol=1e-5)


def test_normalized_scores_are_detectron2s(reference: Callable[..., Any]) -> None:
    rng = np.random.default_rng(1)
    boxes = random_boxes(rng, 40, 300)
    heatmaps = rng.standard_normal((40, 3, MAP, MAP)).astype(np.float32) * 3
    found = decode(reference, boxes, heatmaps, normalized=True)
    maxima = decode(reference, boxes, heatmaps, normalized=False)[..., 2]
    expected = 1 / np.exp(heatmaps.astype(np.float64) - maxima[..., None, None]).sum(axis=(2, 3))
    np.testing.assert_allclose(found[..., 2], expected, rtol=1e-5)


@pytest.mark.parametrize(
    "box",
    [
        (5, 6, 5, 6),
        (30, 20, 10, 10),
        (np.nan, 0, 9, 9),
        (0, 0, np.nan, 9),
        (0, 0, 0.5, 3e5),
        (-np.inf, 0, 9, 9),
        (0, -3e38, 9, 3e38),
    ],
)
@np.errstate(over="ignore")
def test_a_box_of_no_area_or_no_number_has_a_point(reference: Callable[..., Any], box: tuple[float, ...]) -> None:
    rng = np.random.default_rng(2)
    heatmaps = rng.standard_normal((1, 2, 8, 8)).astype(np.float32)
    found = decode(reference, np.float32([box]), heatmaps, normalized=False)
    assert np.isfinite(found[..., 2]).all()
    assert np.isfinite(found[..., :2]).all() == np.isfinite(np.float32(box[3] - box[1] + box[0])).all()


def test_no_boxes_and_no_keypoints_give_nothing(kernels: Any, reference: Callable[..., Any]) -> None:
    for rois, keypoints in ((0, 3), (3, 0)):
        boxes, heatmaps = np.zeros((rois, 4), np.float32), np.zeros((rois, keypoints, 8, 8), np.float32)
        assert decode(reference, boxes, heatmaps, normalized=True).shape == (rois, keypoints, 3)
        assert kernels.decode_keypoints(boxes[None], heatmaps, True).shape == (1, rois, keypoints, 3)


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("shape", [(MAP, MAP), (5, 9)])
def test_the_kernel_finds_what_the_host_finds(
    kernels: Any, reference: Callable[..., Any], shape: tuple[int, int], normalized: bool
) -> None:
    """Bit for bit; but normalised scores, whose sums and exponentials differ in their last digits."""
    rng = np.random.default_rng(shape[0])
    boxes = random_boxes(rng, 24, 400)
    boxes[0] = 0
    boxes[1] = [10, 10, 400, 12]  # wide: all threads side by side; then tall: they share the columns
    boxes[2] = [10, 10, 12, 400]
    heatmaps = rng.standard_normal((24, 2, *shape)).astype(np.float32)
    if shape == (MAP, MAP):
        heatmaps[:20] = odd_heatmaps(rng, 20, 2)
    found = kernels.decode_keypoints(boxes.reshape(2, 12, 4), heatmaps, normalized).reshape(24, 2, 3)
    expected = decode(reference, boxes, heatmaps, normalized=normalized)
    np.testing.assert_array_equal(found[..., :2], expected[..., :2])
    if normalized:
        np.testing.assert_allclose(found[..., 2], expected[..., 2], rtol=1e-5)
    else:
        np.testing.assert_array_equal(found[..., 2], expected[..., 2])


def keypoints_call(rng: np.random.Generator, normalized: bool) -> tuple[abi.DecodeKeypointsStruct, Any]:
    """Make a call and its arrays: boxes, heatmaps, output."""
    arrays = (
        random_boxes(rng, 6, 100),
        rng.standard_normal((6, 2, 14, 14)).astype(np.float32),
        np.full((6, 2, 3), 77, np.float32),
    )
    pointers = (array.ctypes.data for array in arrays)
    return abi.DecodeKeypointsStruct(6, 2, 14, 14, normalized, *pointers), arrays


@pytest.mark.parametrize("normalized", [False, True])
def test_the_plugin_finds_what_the_host_finds(
    emulated_plugins: ctypes.CDLL, reference: Callable[..., Any], normalized: bool
) -> None:
    call, (boxes, heatmaps, output) = keypoints_call(np.random.default_rng(0), normalized)
    assert emulated_plugins.emulated_decode_keypoints(ctypes.byref(call), 3, 6) == 0
    np.testing.assert_allclose(output, decode(reference, boxes, heatmaps, normalized=normalized), rtol=1e-5)


def test_the_plugin_refuses_heatmaps_of_another_number_of_boxes(
    emulated_plugins: ctypes.CDLL, capfd: pytest.CaptureFixture[str]
) -> None:
    call, (*_, output) = keypoints_call(np.random.default_rng(0), False)
    assert emulated_plugins.emulated_decode_keypoints(ctypes.byref(call), 3, 5) == 1
    assert (
        "DecodeKeypoints: input heatmaps must be [B * K, N, H, W], as boxes are [2, 3, 4], but it is [5, 2, 14, 14]\n"
        in capfd.readouterr().err
    )
    assert (output == 77).all()


@pytest.mark.parametrize("shape", [(3, 2, 8), (4, 2, 8, 8)])
def test_heatmaps_that_do_not_fit_are_named(reference: Callable[..., Any], shape: tuple[int, ...]) -> None:
    boxes = np.zeros((1, 3, 4), np.float32)
    with pytest.raises(ValueError, match="heatmaps"):
        reference(lambda: host.decode_keypoints(boxes, np.zeros(shape, np.float32), normalized=False))
