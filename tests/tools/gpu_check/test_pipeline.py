"""Whole models with the project's kernels as operators, where the host build stands in for the GPU."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from maskrt.evaluation.metrics.match import Detections
from maskrt.plugins import (
    device,
    host,
)
from maskrt.tools.gpu_check import operators, pipeline
from maskrt.tools.gpu_check.part import Report


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    """Give a picture of the demo model's size, twice, and its sizes."""
    images, sizes = pipeline.made_up_picture(320, 448)
    return images.repeat(2, 1, 1, 1), sizes.repeat(2, 1)


def test_the_kernels_take_the_operators_places_and_give_them_back() -> None:
    from maskrt.export.rcnn import detections, pooling, reference

    before = detections.detection_output, pooling.multilevel_roi_align, reference.batched_nms
    with operators.kernels_as_operators() as places:
        assert detections.detection_output is operators.detection_output
        assert pooling.multilevel_roi_align is operators.multilevel_roi_align
        assert reference.batched_nms is before[2]
        assert {
            "maskrt.export.rcnn.detections.detection_output",
            "maskrt.export.rcnn.pooling.multilevel_roi_align",
        } <= set(places)
    assert before == (detections.detection_output, pooling.multilevel_roi_align, reference.batched_nms)


def test_keypoints_are_decoded_by_the_kernel(host_as_gpu: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(boxes: Tensor, heatmaps: Tensor, keypoints: Tensor, stream: int, *, normalized: bool) -> None:
        host_as_gpu.append("keypoints")
        keypoints.copy_(torch.from_numpy(host.decode_keypoints(boxes.numpy(), heatmaps.numpy(), normalized=normalized)))

    monkeypatch.setattr(device, "decode_keypoints", decode)
    from maskrt.export.ops.keypoints import decode_keypoints as eager
    from maskrt.export.rcnn import keypoints

    generator = torch.Generator().manual_seed(0)
    boxes = torch.tensor([[[3.0, 4.0, 40.0, 50.0], [10.0, 8.0, 30.5, 20.25]]])
    heatmaps = torch.randn(2, 5, 14, 14, generator=generator)
    with operators.kernels_as_operators():
        found = keypoints.decode_keypoints(boxes, heatmaps, False)
    assert host_as_gpu == ["keypoints"]
    torch.testing.assert_close(found, eager(boxes, heatmaps, False), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_every_model_is_measured(
    shapes_model: Any,
    batch: tuple[Tensor, Tensor],
    host_as_gpu: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """With the kernels' arithmetic the export's module finds what torchvision finds; what cannot be done is said."""

    def capture(_: object) -> None:
        raise RuntimeError("no graphs here")

    monkeypatch.setattr(pipeline, "median_and_spread", lambda call: {"median": 1.0})
    monkeypatch.setattr(pipeline, "capture", capture)
    expected = {
        "num_detections": np.zeros(2, np.int32),
        "boxes": np.zeros((2, 40, 4), np.float32),
        "scores": np.zeros((2, 40), np.float32),
        "labels": np.zeros((2, 40), np.int32),
    }
    with torch.inference_mode():
        pipeline.measure(Report(tmp_path / "result.json", tmp_path), "model", shapes_model, *batch, expected)
    found = json.loads((tmp_path / "result.json").read_text())["results"]["model"]
    assert min(found["detections"]) > 0
    assert found["torchvision_fp32_us"] == [{"median": 1.0}] * 3
    assert found["torchvision_fp32_pasting_us"] == {"median": 1.0}
    for precision, box_px in (("fp32", 0.01), ("fp16", 1.0)):
        difference = found[f"ours_{precision}"]
        assert difference["pairs"] >= 0.9 * sum(found["detections"])
        assert difference["box_px"]["p90"] < box_px
        assert found[f"ours_{precision}_eager_us"] == {"median": 1.0}
        assert found[f"ours_{precision}_graph"] == "it cannot be captured: no graphs here"
        assert found[f"ours_{precision}_stages"] == "they cannot be captured: no graphs here"
        assert found[f"ours_{precision}_to_onnx_runtime"]["pairs"] == 0
    assert found["ours_fp32"]["missing"] == found["ours_fp32"]["extra"] == 0
    assert {"detections", "proposals", "roi_align torch.float32", "roi_align torch.float16"} <= set(host_as_gpu)


def test_torchvision_up_to_where_an_engine_ends(shapes_model: Any, batch: tuple[Tensor, Tensor]) -> None:
    pictures = pipeline.pictures_of(*batch)
    with torch.inference_mode():
        results, _ = pipeline.up_to_masks(shapes_model, pictures)
        expected = shapes_model(pictures)
    for found, whole in zip(results, expected, strict=True):
        torch.testing.assert_close(found["scores"], whole["scores"])
        assert found["masks"].shape == (len(found["scores"]), 1, 28, 28)


def test_stages_are_timed_on_what_the_model_gives_them(
    shapes_model: Any, batch: tuple[Tensor, Tensor], host_as_gpu: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    results: list[Any] = []

    def capture(function: Callable[[], Any]) -> Any:
        results.append(function())
        return SimpleNamespace(replay=len(results))

    monkeypatch.setattr(pipeline, "median_and_spread", lambda replay: {"median": float(replay)})
    monkeypatch.setattr(pipeline, "capture", capture)
    images, sizes = (tensor[:1] for tensor in batch)
    thresholds = torch.full((1, 1), 0.05), torch.full((1, 1), 0.5)
    with torch.inference_mode(), operators.kernels_as_operators():
        module = pipeline.export_module(shapes_model, half=False)
        found = pipeline.stage_times(module, partial(module, images, sizes, *thresholds))
    assert found == {
        name: {"median": number} for number, name in enumerate(("backbone", "rpn_head", "box_head", "mask_head"), 1)
    }
    features, (logits, deltas), (scores, moves), masks = results
    assert features["0"].shape[2:] == logits[0].shape[2:] == deltas[0].shape[2:] == (80, 112)
    assert scores.shape[1] * 4 == moves.shape[1]
    assert masks.shape == (shapes_model.roi_heads.detections_per_img, scores.shape[1], 28, 28)


def test_differences() -> None:
    boxes = np.array([[0, 0, 10, 10], [20, 20, 40, 40], [50, 50, 60, 60]], np.float32)
    scores, labels = np.array([0.9, 0.8, 0.7], np.float32), np.array([1, 2, 3])
    other = Detections(boxes[:2] + np.float32(0.5), scores[:2] - np.float32(0.25), np.array([1, 3]))
    found = pipeline.differences([Detections(boxes, scores, labels)], [other])
    assert (found["pairs"], found["missing"], found["extra"]) == (1, 2, 1)
    assert found["box_px"]["max"] == 0.5
    assert found["score"]["max"] == 0.25
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    assert pipeline.differences([nothing], [nothing])["box_px"]["max"] == 0
