"""The report on models with keypoints: their AP, their differences, and the keypoints in the pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from maskrt.evaluation.report import cli as report


@pytest.fixture
def folder(write_results: Callable[..., Path]) -> Path:
    """Results of models with keypoints."""
    folder = write_results("evaluate", "compare")
    evaluation = json.loads((folder / "evaluate.json").read_text())
    for model, ap in zip(evaluation["models"], (0.4144, 0.4144, 0.4104), strict=True):
        model["keypoints"] = {**model["box"], "AP": ap}
        for entry in model["per_class"]:
            entry["keypoints"] = ap
    (folder / "evaluate.json").write_text(json.dumps(evaluation))
    comparison = json.loads((folder / "compare.json").read_text())
    for candidate in comparison["candidates"]:
        candidate["detections"] |= {"keypoint_size": 0.0125, "keypoint_size_max": 0.25}
    for image in comparison["images"]:
        for instances in image["instances"].values():
            for instance in instances:
                instance["keypoints"] = [20.0, 20.0, 3.0, 25.0, 35.0, 1.0]
    comparison["keypoint_names"] = ["nose", "left_eye"]  # which a limb joins
    (folder / "compare.json").write_text(json.dumps(comparison))
    return folder


def test_keypoints_are_in_every_part(folder: Path, tmp_path: Path) -> None:
    assert report.main([str(folder), "--output", str(tmp_path / "page.html")]) == 0
    text = (tmp_path / "page.md").read_text()
    assert "Keypoint AP" in text and "Δ keypoint AP" in text
    assert "loses 0.0040 of keypoint AP" in text
    assert "Keypoints AP by OKS and size of the objects" in text
    assert "Keypoints AP by class" in text
    assert "0.0125 / 0.2500" in text
    page = (tmp_path / "page.html").read_text()
    assert "keypoint_size" in page.replace("<wbr>", "")  # among the budgets
    assert page.count("data:image/webp") == 2 * (3 + 3)


def test_keypoints_that_do_not_fit_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    comparison = json.loads((folder / "compare.json").read_text())
    first = comparison["images"][0]["instances"]["PyTorch"]
    for damage, told in (
        ([first[0]], "should have as many keypoints, of three numbers each"),
        (first, "should have the 2 keypoints that are named"),
    ):
        for instance in damage:
            instance["keypoints"] = [1.0, 2.0, 3.0]
        (folder / "compare.json").write_text(json.dumps(comparison))
        assert report.main([str(folder), "--output", str(tmp_path / "page.html")]) == 2
        assert told in capsys.readouterr().err
