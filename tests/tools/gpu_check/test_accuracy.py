"""Average precision of both pipelines on the scenes that come along, where the host build stands in for the GPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskrt.shapes.dataset import write_dataset
from maskrt.shapes.scenes import generate_scene
from maskrt.tools.gpu_check import accuracy
from maskrt.tools.gpu_check.part import Report, Skip

SCENES = 2


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    """Give the annotations of some scenes, whose pictures lie beside them."""
    return write_dataset(tmp_path / "scenes", SCENES)


def test_the_scenes_are_read_as_they_were_drawn(annotations: Path) -> None:
    pictures = list(accuracy.read_pictures(annotations))
    assert len(pictures) == SCENES
    for number, picture in enumerate(pictures):
        scene = generate_scene(number, "test")
        assert np.array_equal(picture.image, scene.image)
        assert np.array_equal(picture.masks, scene.masks)
        assert np.array_equal(picture.labels, scene.labels)
        for box, mask in zip(picture.boxes, picture.masks, strict=True):
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            assert box.tolist() == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def test_a_picture_without_objects(tmp_path: Path, annotations: Path) -> None:
    truth = json.loads(annotations.read_text())
    annotations.write_text(json.dumps({**truth, "annotations": []}))
    (picture, _) = accuracy.read_pictures(annotations)
    assert picture.boxes.shape == (0, 4)
    assert picture.masks.shape == (0, *picture.image.shape[:2])


@pytest.mark.slow
def test_both_pipelines_are_as_accurate(
    shapes_model: Any, shapes_onnx: Path, annotations: Path, host_as_gpu: list[str], tmp_path: Path
) -> None:
    pictures = list(accuracy.read_pictures(annotations))
    accuracy.measure(Report(tmp_path / "result.json", tmp_path), shapes_model, pictures, shapes_onnx)
    found = json.loads((tmp_path / "result.json").read_text())["results"]
    assert list(found) == ["scenes", "torchvision_fp32", "ours_fp32", "ours_fp16", "torchvision_fp16"]
    assert found["scenes"] == SCENES
    assert found["torchvision_fp32"]["bbox"]["AP"] > 0.5
    assert found["torchvision_fp32"]["segm"]["AP50"] > 0.5
    for name in ("ours_fp32", "ours_fp16"):
        for kind in ("bbox", "segm"):
            difference = found[name]["minus_torchvision_fp32"][kind]
            assert difference == found[name][kind]["AP"] - found["torchvision_fp32"][kind]["AP"]
            # Of two scenes, a detection whose IoU crosses one of the ten thresholds is worth hundredths.
            assert abs(difference) < 0.05
    assert {"detections", "proposals", "roi_align torch.float32", "roi_align torch.float16"} <= set(host_as_gpu)


def test_without_scenes_it_says_what_makes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracy, "require_gpu", lambda: None)
    with pytest.raises(Skip, match=r"no scenes came along in .*: `python -m maskrt\.tools\.gpu_check --prepare` makes"):
        accuracy.run(Report(tmp_path / "result.json", tmp_path))
