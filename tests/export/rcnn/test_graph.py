"""The export graph against the eager reference, for specs that no model here has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch

from maskrt.export.rcnn.graph import InferenceGraph
from maskrt.export.rcnn.reference import RcnnReference
from maskrt.export.rcnn.spec import Anchors, KeypointHead, MinSide, ModelSpec, StageMean
from maskrt.export.reference import CanvasDetections
from maskrt.options import Thresholds

from ...support.level_rules import DETECTRON2
from ...support.tiny_detector import DETECTRON2_LIKE, MMDETECTION_LIKE, TORCHVISION_LIKE, TinyDetector

_LIKE = {"torchvision": TORCHVISION_LIKE, "detectron2": DETECTRON2_LIKE, "mmdetection": MMDETECTION_LIKE}


def _rpn(spec: ModelSpec, **changes: Any) -> ModelSpec:
    return replace(spec, rpn=replace(spec.rpn, **changes))


def _detection(spec: ModelSpec, **changes: Any) -> ModelSpec:
    return replace(spec, detection=replace(spec.detection, **changes))


def _head(spec: ModelSpec, **changes: Any) -> ModelSpec:
    return replace(spec, box_heads=(replace(spec.box_heads[0], **changes),))


def _pooling(spec: ModelSpec, **changes: Any) -> ModelSpec:
    assert spec.mask_head is not None
    spec = _head(spec, pooling=replace(spec.box_heads[0].pooling, **changes))
    return replace(spec, mask_head=replace(spec.mask_head, pooling=replace(spec.mask_head.pooling, **changes)))


def _cascade(spec: ModelSpec, mean: StageMean, *, class_agnostic: bool = True) -> ModelSpec:
    """Of three stages, each of which moves boxes less than the one before."""
    (head,) = spec.box_heads
    sign = 1 if head.coder.operation == "divide" else -1
    coders = [
        replace(head.coder, weights=tuple(weight * stage**sign for weight in head.coder.weights)) for stage in (1, 2, 3)
    ]
    heads = tuple(replace(head, coder=coder, class_agnostic=class_agnostic) for coder in coders)
    return replace(spec, box_heads=heads, stage_mean=mean)


def _keypoints(spec: ModelSpec, score: Literal["logit", "normalized"]) -> ModelSpec:
    pooling = replace(spec.box_heads[0].pooling, output_size=(5, 5))
    return replace(spec, keypoint_head=KeypointHead(pooling, ("nose", "tail"), score))


def _moved(anchors: Anchors) -> Anchors:
    return replace(anchors, stride=4, offset=1.3)


_SINGLE = {"features": ("p4",), "strides": (16,), "level_rule": None}
_VARIANTS: dict[str, Callable[[ModelSpec], ModelSpec]] = {
    "anchors of an offset": lambda s: _rpn(s, anchors=tuple(map(_moved, s.rpn.anchors))),
    "RPN on two levels": lambda s: _rpn(s, features=("p3", "p5"), anchors=(s.rpn.anchors[1], s.rpn.anchors[3])),
    "sorted by logit, NMS by probability": lambda s: _rpn(s, top_k_by="logit", nms_by="probability"),
    "sorted by probability, NMS by logit": lambda s: _rpn(s, top_k_by="probability", nms_by="logit"),
    "proposals of any size": lambda s: _rpn(s, min_side=None, min_probability=None),
    "proposals of 20 px": lambda s: _rpn(s, min_side=MinSide(20.0, inclusive=True)),
    "probable proposals": lambda s: _rpn(s, min_probability=0.6),
    "more anchors than are chosen": lambda s: _rpn(s, pre_nms_top_k=7, post_nms_top_k=11),
    "fewer anchors than could be chosen": lambda s: _rpn(s, pre_nms_top_k=3_000, post_nms_top_k=300),
    "background first": lambda s: _detection(s, background="first"),
    "background last": lambda s: _detection(s, background="last"),
    "sigmoid": lambda s: _detection(s, activation="sigmoid", background="last"),
    "detections of 15 px": lambda s: _detection(s, min_side=MinSide(15.0, inclusive=False)),
    "boxes for all classes": lambda s: _head(s, class_agnostic=True),
    "cascade of scores": lambda s: _cascade(s, "scores"),
    "cascade of logits": lambda s: _cascade(s, "logits"),
    "cascade of scores by sigmoid": lambda s: _cascade(_detection(s, activation="sigmoid"), "scores"),
    "cascade of the likeliest class": lambda s: _cascade(s, "logits", class_agnostic=False),
    "masks for all classes": lambda s: replace(s, mask_head=replace(s.mask_head, class_agnostic=True)),
    "no masks": lambda s: replace(s, mask_head=None),
    "keypoints": lambda s: _keypoints(s, "logit"),
    "keypoints of normalised scores, no masks": lambda s: _keypoints(replace(s, mask_head=None), "normalized"),
    "one level": lambda s: _pooling(s, **_SINGLE),
    "two levels": lambda s: _pooling(s, features=("p2", "p3"), strides=(4, 8)),
    "boxes of one level, masks of four": lambda s: _head(s, pooling=replace(s.box_heads[0].pooling, **_SINGLE)),
    "another rule for the level": lambda s: _pooling(s, level_rule=replace(DETECTRON2, canonical_size=60.0)),
}


def _images(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two images on a canvas: smooth, so that neighbouring anchors overlap with similar scores."""
    sizes = np.array([(96, 128), (71, 109)], np.int32)
    canvas = np.zeros((2, 96, 128, 3), np.float32)
    for row, (height, width) in zip(canvas, sizes, strict=True):
        coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, 7, 9)).astype(np.float32))
        smooth = torch.nn.functional.interpolate(coarse, size=(int(height), int(width)), mode="bilinear")
        row[:height, :width] = smooth[0].permute(1, 2, 0).numpy()
    return canvas, sizes


def _expected(spec: ModelSpec, canvas: np.ndarray, sizes: np.ndarray, thresholds: Thresholds) -> list[CanvasDetections]:
    """The reference on each image of a canvas, which `trace` alone would take."""
    reference = RcnnReference(TinyDetector(spec), spec, TinyDetector.parts, torch.device("cpu"), compiled=False)
    found = []
    for levels, (height, width) in zip(canvas, sizes.tolist(), strict=True):
        normalized = reference.on_canvas(levels[None], (height, width))
        found += reference.infer(normalized, thresholds)
    return found


def _assert_same(outputs: tuple[torch.Tensor, ...], expected: list[CanvasDetections]) -> None:
    num, boxes, scores, labels, *others = outputs
    keypoints = others.pop() if expected[0].keypoints is not None else None
    for image, found in enumerate(expected):
        count = int(num[image])
        assert count == len(found)
        np.testing.assert_allclose(boxes[image, :count], found.boxes, atol=2e-4)
        np.testing.assert_allclose(scores[image, :count], found.scores, atol=1e-5)
        np.testing.assert_array_equal(labels[image, :count], found.labels)
        assert bool(others) == (found.mask_probabilities is not None)
        if found.mask_probabilities is not None:
            np.testing.assert_allclose(others[0][image, :count], found.mask_probabilities, atol=1e-4)
            assert not others[0][image, count:].any()
        if keypoints is not None:
            np.testing.assert_allclose(keypoints[image, :count], found.keypoints, atol=1e-3)
            assert not keypoints[image, count:].any()
        assert not boxes[image, count:].any()


@pytest.mark.parametrize("variant", [None, *_VARIANTS])
@pytest.mark.parametrize("like", _LIKE)
def test_the_graph_equals_the_reference(like: str, variant: str | None) -> None:
    spec = _LIKE[like] if variant is None else _VARIANTS[variant](_LIKE[like])
    canvas, sizes = _images(np.random.default_rng(0))
    model = TinyDetector(spec)
    graph = InferenceGraph(spec, TinyDetector.parts(model), model).eval()
    score_threshold, nms_threshold = spec.detection.score_threshold, spec.detection.nms_threshold
    thresholds = (torch.full((2, 1), value) for value in (score_threshold, nms_threshold))
    with torch.inference_mode():
        outputs = graph(torch.from_numpy(canvas), torch.from_numpy(sizes), *thresholds)
    expected = _expected(spec, canvas, sizes, Thresholds())
    assert all(len(found) > 3 for found in expected)
    assert len({int(label) for found in expected for label in found.labels}) > 1
    _assert_same(outputs, expected)


# By logit and by probability sort alike; the others are what `TORCHVISION_LIKE` has already.
_SAME = {
    "sorted by logit, NMS by probability",
    "sorted by probability, NMS by logit",
    "proposals of any size",
    "background first",
}


@pytest.mark.parametrize("variant", sorted(_VARIANTS.keys() - _SAME))
def test_each_value_of_the_spec_matters(variant: str) -> None:
    """Graph and reference could agree by ignoring it."""
    canvas, sizes = _images(np.random.default_rng(0))
    spec = _VARIANTS[variant](TORCHVISION_LIKE)
    changed, usual = (_expected(each, canvas, sizes, Thresholds()) for each in (spec, TORCHVISION_LIKE))
    assert any(
        a.boxes.shape != b.boxes.shape
        or (a.mask_probabilities is None) != (b.mask_probabilities is None)
        or (a.keypoints is None) != (b.keypoints is None)
        or not torch.allclose(a.boxes, b.boxes, atol=1e-3)
        or not torch.allclose(a.scores, b.scores, atol=1e-5)
        or (a.mask_probabilities is not None and not torch.allclose(a.mask_probabilities, b.mask_probabilities))
        for a, b in zip(changed, usual, strict=True)
    )
