"""The eager reference, given the spec of a torchvision model, against that model's own inference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from maskrt.export.families.base import SourceModel, describe_model
from maskrt.export.rcnn.reference import RcnnReference
from maskrt.export.reference import Reference
from maskrt.options import Thresholds
from maskrt.shapes.scenes import generate_scene


def reference_of(source: SourceModel) -> RcnnReference:
    cpu = torch.device("cpu")
    return RcnnReference(source.model, source.spec, source.family.modules, cpu, compiled=False)


def assert_same_detections(
    ours: Reference,
    theirs: Reference,
    picture: np.ndarray,
    thresholds: Thresholds = Thresholds(),  # noqa: B008
) -> int:
    """On the same canvas, to the last digits; returns how many there are."""
    canvas = theirs.preprocess([picture])
    (found,), (expected,) = ours.infer(canvas, thresholds), theirs.infer(canvas, thresholds)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert (found.mask_probabilities is None) == (expected.mask_probabilities is None)
    if found.mask_probabilities is not None and expected.mask_probabilities is not None:
        np.testing.assert_allclose(found.mask_probabilities, expected.mask_probabilities, atol=1e-4)
    return len(expected)


@pytest.fixture(scope="module")
def shapes(shapes_model: nn.Module) -> SourceModel:
    return describe_model(shapes_model)


@pytest.mark.parametrize("thresholds", [Thresholds(), Thresholds(score=0.01), Thresholds(score=0.3, nms=0.1)])
def test_detections_of_the_demo_model(shapes: SourceModel, thresholds: Thresholds) -> None:
    ours, theirs = reference_of(shapes), shapes.reference()
    counts = [assert_same_detections(ours, theirs, generate_scene(n, "test").image, thresholds) for n in range(4)]
    assert min(counts) > 0


def test_detections_of_91_classes(drawn_detector: nn.Module, photographs: dict[str, np.ndarray]) -> None:
    source = describe_model(drawn_detector)
    assert assert_same_detections(reference_of(source), source.reference(), photographs["coffee"]) > 50


def test_canvas_and_pictures(shapes: SourceModel, photographs: dict[str, np.ndarray]) -> None:
    """Resized from any size, padded to the largest of a batch, pasted back."""
    ours, theirs = reference_of(shapes), shapes.reference()
    pictures = [generate_scene(1, "test").image, photographs["chelsea"], photographs["astronaut"][:, :99].copy()]
    canvas, expected = ours.preprocess(pictures), theirs.preprocess(pictures)
    assert list(canvas.image_sizes) == [tuple(size) for size in expected.image_sizes]
    assert list(canvas.picture_sizes) == list(expected.picture_sizes)
    np.testing.assert_allclose(canvas.tensors, expected.tensors, atol=1e-4)
    detections = theirs.infer(expected)
    for found, wanted in zip(
        ours.postprocess(detections, expected), theirs.postprocess(detections, expected), strict=True
    ):
        np.testing.assert_allclose(found.boxes, wanted.boxes, rtol=1e-6)
        assert found.masks is not None
        assert wanted.masks is not None
        np.testing.assert_array_equal(found.masks, wanted.masks)


def test_traces(shapes: SourceModel) -> None:
    ours, theirs = reference_of(shapes), shapes.reference()
    canvas = theirs.preprocess([generate_scene(3, "test").image])
    levels = np.pad(generate_scene(3, "test").image, ((0, 32), (0, 64), (0, 0)))[None]
    names = {"backbone.body.conv1", "rpn.head.cls_logits", "roi_heads.box_head.fc6", "roi_heads.mask_predictor.relu"}
    size = generate_scene(3, "test").image.shape[:2]
    found, expected = (side.trace(levels, size, names) for side in (ours, theirs))
    assert len(found.poolings) == len(expected.poolings) == 2
    for pooling, wanted in zip(found.poolings, expected.poolings, strict=True):
        np.testing.assert_allclose(pooling.rois, wanted.rois, atol=1e-3)
        np.testing.assert_allclose(pooling.features, wanted.features, atol=1e-4)
    assert found.outputs.keys() == expected.outputs.keys() == names
    for name in names:
        assert len(found.outputs[name]) == len(expected.outputs[name])
        for value, wanted_value in zip(found.outputs[name], expected.outputs[name], strict=True):
            np.testing.assert_allclose(value, wanted_value, atol=1e-3)
    assert canvas.tensors.shape[0] == 1


@pytest.fixture(scope="module")
def drawn_detector(drawn_model: Any) -> nn.Module:
    return drawn_model("fasterrcnn_mobilenet_v3_large_320_fpn")
