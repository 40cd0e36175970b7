"""The benchmark measures what it says, on a run that is too short to mean anything."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from maskrt.runtime import Segmenter
from maskrt.tools.pipelining import main, measure_overlap


@pytest.fixture
def images(tmp_path: Path, photographs: dict[str, np.ndarray]) -> Path:
    for i in range(2):
        cv2.imwrite(str(tmp_path / f"{i}.jpg"), photographs["chelsea"][..., ::-1])
    return tmp_path


def test_prints_both_ratios_and_the_overhead(
    shapes_onnx: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(shapes_onnx), "--images", str(images), "--turns", "1", "--limit", "2"]) == 0
    out = capsys.readouterr().out
    for stage in ("decode", "preprocess", "infer", "postprocess", "draw", "write", "wall"):
        assert f"\n{stage} " in out
    for figure in ("slowest stage of the same run", "slowest stage of the serial run", "serial wall time", "engine  "):
        assert figure in out


def test_stages_add_up_to_the_wall_time_unless_they_overlap(shapes_onnx: Path, images: Path) -> None:
    segmenter = Segmenter(shapes_onnx, threads=1)
    serial, overlapped = measure_overlap(segmenter, sorted(images.iterdir()), turns=1)
    assert 0.7 * serial[0].wall < sum(serial[0].stages.values()) <= serial[0].wall
    assert max(overlapped[0].stages.values()) <= overlapped[0].wall
    assert max(serial[0].stages, key=lambda name: serial[0].stages[name]) == "infer"


def test_errors_are_sentences(shapes_onnx: Path, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (images / "empty").mkdir()
    assert main([str(shapes_onnx), "--images", str(images / "empty")]) == 2
    assert main([str(images / "nowhere.onnx"), "--images", str(images)]) == 2
    (images / "0.jpg").write_text("not an image")
    assert main([str(shapes_onnx), "--images", str(images)]) == 2
    error = capsys.readouterr().err
    assert error.count("maskrt.tools.pipelining: ") == 3
    for sentence in (
        "there is no image in this folder",
        "nowhere.onnx: there is no such file",
        "0.jpg is not an image",
    ):
        assert sentence in error
