"""The report of what compare, evaluate and bench really write, on the demo model: nothing here is made by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maskrt.calibration import quantize
from maskrt.evaluation.bench import cli as bench
from maskrt.evaluation.compare import cli as compare
from maskrt.evaluation.evaluate import cli as evaluate
from maskrt.evaluation.report import cli as report
from maskrt.evaluation.report.inputs import Results, read_results

DEMO = "maskrt.shapes.model:shapes_model"


@pytest.fixture(scope="module")
def results(
    once: Callable[[str, Callable[[Path], object]], Path], shapes_float32_onnx: Path, demo_scenes: Path
) -> Path:
    """A folder with all three, of the demo model in FP32 and FP16 beside PyTorch."""

    def write(folder: Path) -> None:
        half = quantize(shapes_float32_onnx, folder / "half.onnx", "fp16").path
        common = [str(shapes_float32_onnx), str(half), "--source", DEMO, "--threads", "1", "--limit", "2"]
        images = ["--images", str(demo_scenes.parent)]
        assert compare.main([*common, *images, "--output", str(folder)]) == 0
        assert evaluate.main([*common, "--dataset", str(demo_scenes), "--output", str(folder)]) == 0
        turns = ["--against", "pytorch", "--repeats", "1", "--warm-up", "1", "--operations"]
        assert bench.main([*common, *images, *turns, "--output", str(folder / "bench.json")]) == 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maskrt.evaluation.bench.paste._IMAGE_SIZES", ((120, 160),))
        patch.setattr("maskrt.evaluation.bench.preprocess._IMAGE_SIZES", ((48, 64),))
        return once("results-of-the-demo", write)


def test_every_result_is_read(results: Path, shapes_float32_onnx: Path) -> None:
    read = read_results([results])
    assert isinstance(read, Results)
    assert read.compare and read.evaluate and read.bench
    names = {shapes_float32_onnx.name, "half.onnx"}
    assert {candidate.name for candidate in read.compare.candidates} == names
    assert {model.name for model in read.evaluate.models} == names | {"PyTorch"}
    assert {record.name for record in read.bench.pipeline} == names | {"PyTorch"}
    assert {name for image in read.compare.images for name in image.instances} == names | {"PyTorch"}
    assert len(read.compare.images) == read.evaluate.dataset.images == read.bench.settings.pictures == 2
    assert [operation.differing for operation in read.bench.operations if "paste" in operation.operation] != [None]


def test_one_page_of_all(results: Path, tmp_path: Path, capsys: Any) -> None:
    assert report.main([str(results), "--limit", "1", "--output", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    text = (tmp_path / "page.md").read_text()
    for title in ("Pictures", "Differences from PyTorch", "AP by class", "Speed and memory", "How this was made"):
        assert title in page
        assert title in text
    assert "2 of 2 model files stay within the budget" in text
    assert "FP16 (half.onnx) passes; on 2 images" in text
    assert page.count("data:image/webp") == 3 + 3
    assert "were not compared" in text or "was not compared" in text
