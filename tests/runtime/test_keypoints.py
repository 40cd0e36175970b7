"""Keypoints on their way out of the runtime: scaled to the picture, chosen, drawn, written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskrt.errors import ArgumentError, ModelError
from maskrt.runtime import Instances, Segmenter
from maskrt.runtime.draw import draw_instances
from maskrt.runtime.infer import main
from maskrt.runtime.tiling.predict import predict_tiled
from maskrt.runtime.transforms.boxes import resize_keypoints

from ..support.small_model import KEYPOINT_NAMES, KEYPOINTS

IMAGE = np.full((90, 150, 3), 128, np.uint8)


@pytest.fixture
def found(write_model: Callable[..., Path]) -> Instances:
    result = Segmenter(write_model(keypoints=True), providers=["CPUExecutionProvider"]).predict(
        IMAGE, score_threshold=0
    )
    assert isinstance(result, Instances)
    return result


def test_keypoints_are_in_pixels_of_the_picture(found: Instances) -> None:
    assert found.keypoint_names == KEYPOINT_NAMES
    np.testing.assert_allclose(found.keypoints, KEYPOINTS * [150, 90, 1], rtol=1e-6)
    assert found.has_masks


def test_ratios_are_float32_quotients_and_scores_stay() -> None:
    keypoints = np.float32([[[10, 20, 7.5]]])
    scaled = resize_keypoints(keypoints, (300, 401), (427, 640))
    assert scaled.dtype == np.float32
    width, height = np.float32(640) / np.float32(401), np.float32(427) / np.float32(300)
    np.testing.assert_array_equal(scaled, np.float32([[[10 * width, 20 * height, 7.5]]]))


def test_chosen_instances_keep_their_keypoints(found: Instances) -> None:
    np.testing.assert_array_equal(found[1].keypoints, found.keypoints[[1]])
    np.testing.assert_array_equal(found[found.scores > 0.5].keypoints, found.keypoints[:2])
    assert found[:0].keypoints.shape == (0, 3, 3)
    assert found[:0].to_coco(1) == []


def test_records_have_them_one_behind_the_other(found: Instances) -> None:
    record = found.to_coco(5)[1]
    np.testing.assert_allclose(record["keypoints"], (KEYPOINTS[1] * [150, 90, 1]).flatten(), rtol=1e-6)
    assert json.loads(json.dumps(record)) == record


def test_limbs_join_keypoints_of_known_names(found: Instances) -> None:
    """From the nose to the left eye, and nowhere else."""
    drawn = draw_instances(IMAGE, found[1])
    without = draw_instances(IMAGE, Instances(*(getattr(found[1], name) for name in _FIELDS)))
    changed = (drawn != without).any(axis=2)
    x, y = np.floor(found.keypoints[1, :, :2]).astype(int).T
    assert changed[y, x].all()
    assert changed[y[0], x[0] : x[1]].all()  # one limb, along a row
    assert not changed[(y[0] + y[2]) // 2, (x[0] + x[2]) // 2]


_FIELDS = ("boxes", "scores", "labels", "segmentations", "class_names", "image_size")


def test_keypoints_outside_of_the_picture_are_drawn_nowhere(found: Instances) -> None:
    far = np.full_like(found.keypoints, 1e30)
    draw_instances(IMAGE, Instances(*(getattr(found, name) for name in _FIELDS), far, KEYPOINT_NAMES))


def test_coco_json_has_names_limbs_and_visible_keypoints(write_model: Callable[..., Path], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "image.png"), IMAGE)
    model = write_model(keypoints=True, masks=False)
    assert main([str(model), "--images", str(tmp_path / "image.png"), "-o", str(tmp_path / "out")]) == 0
    data_set = json.loads((tmp_path / "out" / "instances.json").read_text())
    assert data_set["categories"][0]["keypoints"] == list(KEYPOINT_NAMES)
    assert data_set["categories"][0]["skeleton"] == [[1, 2]]
    annotation = data_set["annotations"][0]
    assert annotation["num_keypoints"] == 3
    assert annotation["keypoints"][2::3] == [2, 2, 2]
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results[0]["keypoints"][2::3] == [3.5, 1.0, -2.0]


def test_several_tiles_are_refused_and_one_is_not(write_model: Callable[..., Path]) -> None:
    segmenter = Segmenter(write_model(keypoints=True))
    with pytest.raises(ArgumentError, match=r"finds keypoints.* give a tile of the whole image, 90x150"):
        predict_tiled(segmenter, IMAGE, tile_size=(64, 64))
    assert predict_tiled(segmenter, IMAGE, tile_size=(90, 150)).keypoints is not None


@pytest.mark.parametrize(
    ("outputs", "names"),
    [
        ([{"name": "keypoints", "meaning": "keypoints", "shape": [3, 3]}], ["nose"]),
        ([{"name": "keypoints", "meaning": "keypoints", "shape": [3, 2]}], list(KEYPOINT_NAMES)),
        ([], list(KEYPOINT_NAMES)),
        ([{"name": "keypoints", "meaning": "keypoints", "shape": [3, 3]}], None),
    ],
)
def test_metadata_that_contradict_each_other_are_refused(
    write_model: Callable[..., Path], outputs: list[dict], names: list[str] | None
) -> None:
    path = write_model(masks=False, keypoints=True, outputs=outputs, keypoint_names=names)
    with pytest.raises(ModelError, match="is damaged: its metadata name"):
        Segmenter(path)


def test_a_model_of_keypoints_alone_has_no_masks_to_encode(write_model: Callable[..., Path]) -> None:
    found = Segmenter(write_model(masks=False, keypoints=True)).predict(IMAGE)
    with pytest.raises(ArgumentError, match="have no masks"):
        found.rle()
    assert found.keypoints is not None
