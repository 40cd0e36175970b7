"""compare and evaluate beside the framework's own model, by stand-ins that find what the real frameworks found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from maskrt.evaluation.compare.cli import main as compare
from maskrt.evaluation.evaluate.cli import main as evaluate
from maskrt.shapes.dataset import write_dataset

from ..support.installed import installed_frameworks
from ..support.reference_models import source_options
from ..support.references import picture, reference_model

MODELS = {"d2_trained_shapes_R_18_FPN": "detectron2 0.6", "mm_trained_shapes_r18_fpn": "mmdet 3.3.0"}
SCENE = "scene00002"


def _source(name: str, folder: Path) -> list[str]:
    source = source_options(reference_model(name), folder)
    options = ["--source", source.source, "--class-names", str(source.class_names)]
    return options if source.config is None else [*options, "--config", str(source.config)]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_compare(name: str, reference_onnx: Callable[[str], Path], tmp_path: Path, capsys) -> None:
    image = tmp_path / f"{SCENE}.png"
    cv2.imwrite(str(image), picture(SCENE)[:, :, ::-1])
    options = [str(reference_onnx(name)), *_source(name, tmp_path), "--images", str(image), "--threads", "1"]
    with installed_frameworks() as install:
        install(reference_model(name), (SCENE,))
        assert compare([*options, "--output", str(tmp_path / "own")]) == 0
    result = json.loads((tmp_path / "own" / "compare.json").read_text())
    remark = f"What the source model finds is computed by {MODELS[name]}."
    assert (result["reference"]["computed_by"], result["reference"]["remark"]) == (MODELS[name], remark)
    assert remark in capsys.readouterr().out
    (candidate,) = result["candidates"]
    assert candidate["verdict"] == "pass"
    assert candidate["detections"]["matched"] == candidate["detections"]["reference"] > 0
    assert any(tensor["snr_db"] > 60 for tensor in candidate["tensors"])  # of the network, which the spec has run

    assert compare([*options, "--output", str(tmp_path / "spec")]) == 0
    result = json.loads((tmp_path / "spec" / "compare.json").read_text())
    assert result["reference"]["computed_by"] == "PyTorch"
    assert "is not installed" in result["reference"]["remark"]


def test_evaluate(reference_onnx: Callable[[str], Path], tmp_path: Path, capsys) -> None:
    name = "mm_trained_shapes_r18_fpn"
    dataset = write_dataset(tmp_path / "scenes", 2)
    shown = ("scene00000", "scene00001")
    options = [str(reference_onnx(name)), "--dataset", str(dataset), "--threads", "1", *_source(name, tmp_path)]
    options += ["--output", str(tmp_path / "out")]
    with installed_frameworks() as install:
        install(reference_model(name), shown)
        assert evaluate(options) == 0
    result = json.loads((tmp_path / "out" / "evaluate.json").read_text())
    own, file = result["models"]
    assert own["backend"] == "mmdet 3.3.0 (cpu)"
    assert own["remark"] in capsys.readouterr().out
    assert file["remark"] is None
    for kind in ("box", "mask"):
        assert own[kind]["AP"] == pytest.approx(file[kind]["AP"], abs=5e-4)
