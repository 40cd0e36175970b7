"""Keypoint R-CNNs of torchvision as model files: against torchvision's own inference, pixels in to keypoints out."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from maskrt.contract.metadata import Output, parse_metadata
from maskrt.contract.seal import read_metadata_properties
from maskrt.evaluation.metrics.match import Detections, match_detections
from maskrt.export import export_onnx
from maskrt.export.errors import UnsupportedModelError
from maskrt.export.families.keypoints import keypoint_names
from maskrt.export.verify import verify_onnx
from maskrt.runtime import Segmenter
from maskrt.shapes import keypoints
from maskrt.shapes.scenes import generate_scene

from ..support.keypoint_model import NAMES, keypoint_model

BOX, SCORE, KEYPOINT = 0.05, 1e-4, 0.1
MOVED = 0.01
"""Share of keypoints that may lie elsewhere: where a heatmap's two highest places differ by rounding alone."""


PICTURES = 50 if os.environ.get("MASKRT_LONG_TESTS") == "1" else 8

_WITH_MASKS = pytest.mark.parametrize("masks", [False, pytest.param(True, marks=pytest.mark.slow)])


@pytest.fixture(scope="module")
def make_model(photographs) -> Callable[[bool], Any]:
    """`make_model(masks)` -> a model, without or with masks."""
    return cache(lambda masks: keypoint_model([photographs["coffee"]], masks=masks))


@pytest.fixture(scope="module")
def make_file(make_model, once) -> Callable[[bool], Path]:
    """`make_file(masks)` -> its file."""

    def make(masks: bool) -> Path:
        def export(folder: Path) -> None:
            export_onnx(make_model(masks), folder / "model.onnx", input_type="float32")

        return once(f"keypoints-{masks}", export) / "model.onnx"

    return make


@_WITH_MASKS
def test_a_file_finds_the_keypoints_that_torchvision_finds(make_model, make_file, photographs, masks):
    segmenter = Segmenter(make_file(masks))
    places = moved = 0
    for name in ("astronaut", "chelsea"):
        image = photographs[name]
        with torch.inference_mode():
            (theirs,) = make_model(masks)([torch.from_numpy(image).permute(2, 0, 1).float() / 255])
        ours = segmenter.predict(image)
        assert ours.has_masks == masks
        assert ours.keypoint_names == NAMES
        boxes, scores, labels = (theirs[key].numpy() for key in ("boxes", "scores", "labels"))
        pairs = match_detections(
            Detections(boxes, scores, labels), Detections(ours.boxes, ours.scores, ours.labels)
        ).pairs
        assert len(pairs) == len(ours) == len(boxes) > 3
        i, j = pairs.T
        np.testing.assert_allclose(ours.boxes[j], boxes[i], atol=BOX)
        np.testing.assert_allclose(ours.scores[j], scores[i], atol=SCORE)
        there = np.abs(ours.keypoints[j, :, :2] - theirs["keypoints"].numpy()[i, :, :2]).max(axis=2) <= KEYPOINT
        places, moved = places + there.size, moved + int((~there).sum())
        logits = theirs["keypoints_scores"].numpy()[i]
        np.testing.assert_allclose(ours.keypoints[j, :, 2], logits, rtol=1e-3, atol=1e-3)
    assert moved <= MOVED * places


def test_the_exporter_verifies_keypoints(make_model, make_file):
    differences = verify_onnx(make_model(False), make_file(False))
    assert differences.keypoints > 0
    assert differences.within_tolerance()
    assert "keypoints differ by more than 0.1 px" in str(differences)


@_WITH_MASKS
def test_the_file_declares_its_keypoints(make_file, masks):
    metadata = parse_metadata(read_metadata_properties(make_file(masks)), "model.onnx")
    masks_first = [Output("masks", "mask_probabilities", (28, 28))] if masks else []
    assert metadata.outputs == (*masks_first, Output("keypoints", "keypoints", (3, 3)))
    assert metadata.keypoint_names == NAMES
    assert metadata.model_family == f"torchvision.{'Mask' if masks else 'Keypoint'}RCNN"
    nodes = [node.op_type for node in onnx.load(make_file(masks)).graph.node]
    assert nodes.count("DecodeKeypoints") == 1
    assert nodes.count("MultilevelRoIAlign") == 2  # masks and keypoints are pooled alike: one node for both


@pytest.mark.slow
def test_a_single_keypoint_without_a_name(photographs, tmp_path):
    model = keypoint_model([photographs["coffee"]], keypoints=1)
    del model.keypoint_names
    segmenter = Segmenter(export_onnx(model, tmp_path / "model.onnx"))
    found = segmenter.predict(photographs["astronaut"])
    assert found.keypoint_names == ("keypoint_1",)
    assert found.keypoints.shape == (len(found), 1, 3)


@pytest.mark.parametrize(
    ("names", "message"),
    [(["head"], "the model has 3 keypoints, but its keypoint_names are 1"), ([1, 2, 3], "expected a text for each")],
)
def test_names_that_do_not_fit_are_refused(photographs, tmp_path, names, message):
    model = keypoint_model([photographs["coffee"]])
    model.keypoint_names = names
    with pytest.raises(UnsupportedModelError, match=message):
        export_onnx(model, tmp_path / "model.onnx")


def test_a_head_without_keypoints_is_refused():
    with pytest.raises(UnsupportedModelError, match="a keypoint head without keypoints: expected at least one"):
        keypoint_names(None, 0)


@pytest.mark.slow
@pytest.mark.parametrize("trained", [False, True], ids=["drawn", "trained"])
def test_many_pictures_beside_torchvision(make_model, make_file, tmp_path, trained):
    """Held-out scenes of the demo: by a model with drawn weights, and by the demo's own that finds extreme points.

    A short form runs by default, 50 scenes with MASKRT_LONG_TESTS=1.

    A keypoint may lie elsewhere only where another place is as high: its score says so.
    """
    model = keypoints.keypoint_model() if trained else make_model(False)
    file = export_onnx(model, tmp_path / "model.onnx", input_type="float32", verify=False) if trained else None
    segmenter = Segmenter(make_file(False) if file is None else file, providers=["CPUExecutionProvider"])
    found = matched = places = moved = 0
    for number in range(PICTURES):
        image = generate_scene(number, "test").image
        with torch.inference_mode():
            (theirs,) = model([torch.from_numpy(image).permute(2, 0, 1).float() / 255])
        ours = segmenter.predict(image)
        boxes, scores, labels = (theirs[key].numpy() for key in ("boxes", "scores", "labels"))
        matching = match_detections(Detections(boxes, scores, labels), Detections(ours.boxes, ours.scores, ours.labels))
        i, j = matching.pairs.T
        found, matched = found + len(boxes), matched + len(i)
        np.testing.assert_allclose(ours.boxes[j], boxes[i], atol=BOX)
        np.testing.assert_allclose(ours.scores[j], scores[i], atol=SCORE)
        logits = theirs["keypoints_scores"].numpy()[i]
        np.testing.assert_allclose(ours.keypoints[j, :, 2], logits, rtol=1e-3, atol=1e-3)
        there = np.abs(ours.keypoints[j, :, :2] - theirs["keypoints"].numpy()[i, :, :2]).max(axis=2) <= KEYPOINT
        places, moved = places + there.size, moved + int((~there).sum())
    assert found > 4 * PICTURES
    assert matched >= 0.99 * found
    assert moved <= MOVED * places
