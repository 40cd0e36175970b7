"""`maskrt evaluate` of a model with keypoints, from its file to the table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from maskrt.evaluation.evaluate.cli import main
from maskrt.evaluation.results.evaluate import Evaluation
from maskrt.evaluation.results.files import read_result

from ...support.keypoint_dataset import write_keypoint_dataset


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_keypoint_dataset(tmp_path)


def run(model: Path, dataset: Path, folder: Path) -> Evaluation:
    options = ["--dataset", str(dataset), "--score-threshold", "0.05", "-o", str(folder)]
    assert main([str(model), *options]) == 0
    result = read_result(folder / "evaluate.json")
    assert isinstance(result, Evaluation)
    return result


def test_keypoint_ap_is_in_the_result_and_in_the_table(
    write_model: Callable[..., Path], dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(write_model(masks=False, keypoints=True), dataset, tmp_path / "out")
    (model,) = result.models
    assert model.keypoints is not None
    assert pytest.approx(1) == model.keypoints.AP50
    assert model.keypoints.AP is not None and model.keypoints.AP > 0.9
    assert all(entry.keypoints is not None for entry in model.per_class)
    assert f"points {model.keypoints.AP:.4f}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("of_model", "of_dataset", "words"),
    [
        (True, False, "finds keypoints, but no annotation has any: no keypoint AP is measured"),
        (False, True, "finds no keypoints, which annotations have: no keypoint AP is measured"),
    ],
)
def test_why_none_is_measured_is_told(
    write_model: Callable[..., Path],
    dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    of_model: bool,
    of_dataset: bool,
    words: str,
) -> None:
    if not of_dataset:
        content = json.loads(dataset.read_text())
        for annotation in content["annotations"]:
            del annotation["keypoints"]
        dataset.write_text(json.dumps(content))
    result = run(write_model(masks=False, keypoints=of_model), dataset, tmp_path / "out")
    assert result.models[0].keypoints is None
    assert words in capsys.readouterr().err


def test_keypoints_without_sigmas_are_refused_with_what_to_give(
    write_model: Callable[..., Path], dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(dataset.read_text())
    for category in content["categories"]:
        del category["sigmas"]
    dataset.write_text(json.dumps(content))
    model = write_model(masks=False, keypoints=True)
    assert main([str(model), "--dataset", str(dataset), "-o", str(tmp_path / "out")]) == 2
    assert 'give a category of the data set "sigmas"' in " ".join(capsys.readouterr().err.split())


def test_a_metric_of_masks_is_refused_before_anything_runs(
    write_model: Callable[..., Path], dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, output = write_model(masks=False, keypoints=True), tmp_path / "out"
    assert main([str(model), "--dataset", str(dataset), "--metric", "cityscapes", "-o", str(output)]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "--metric cityscapes measures masks, but model.onnx gives none: leave it out, or name others." in told
    assert not list(output.glob("*.jsonl"))
