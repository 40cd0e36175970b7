from dataclasses import replace
from pathlib import Path

import pytest

from maskrt.errors import ArgumentError
from maskrt.evaluation.environment import describe_environment
from maskrt.evaluation.metrics.coco import ApStatistics
from maskrt.evaluation.results.evaluate import DatasetRecord, Evaluation, ModelRecord
from maskrt.tools import document_figures as figures

AP = ApStatistics(0.5, *(None,) * 5)


def evaluation(folder: Path) -> Evaluation:
    (folder / "m.int8.onnx").write_bytes(bytes(1_250_000))
    source = ModelRecord("PyTorch", None, "fp32", "", None, 0.05, 0.5, replace(AP, AP=0.25), AP, (), 1.0, "")
    file = replace(source, name="m.int8.onnx", file="m.int8.onnx", precision="int8")
    return Evaluation(describe_environment(), DatasetRecord("a.json", "a.json", 200, 0, 1, ("disk",)), (source, file))


def test_table(tmp_path: Path) -> None:
    table = figures.ap_table(evaluation(tmp_path), tmp_path)
    assert table.splitlines()[2:] == ["| PyTorch | 0.2500 | 0.5000 | |", "| INT8 | 0.2500 | 0.5000 | 1.2 MB |"]
    text = "a\n<!-- ap of the demo model -->\n\nold\nold\n\n<!-- end -->\nb\n"
    assert figures.with_table(text, table) == text.replace("old\nold", table)
    with pytest.raises(ArgumentError, match="has no <!-- ap"):
        figures.with_table("a", table)


def test_results_that_do_not_belong_there(tmp_path: Path) -> None:
    result = evaluation(tmp_path)
    with pytest.raises(ArgumentError, match="of 200 scenes, but this result is of 4"):
        figures.ap_table(replace(result, dataset=replace(result.dataset, images=4)), tmp_path)
    (tmp_path / "m.int8.onnx").unlink()
    with pytest.raises(ArgumentError, match="is gone"):
        figures.ap_table(result, tmp_path)


def test_output() -> None:
    text = "```python\nprint(1 + 1)\n```\n\n<!-- output -->\n```text\nold\n```\n```python\nprint(3)\n```\n"
    assert figures.with_output(text) == text.replace("old", "2")


@pytest.mark.parametrize("document", figures.AP_DOCUMENTS, ids=lambda path: path.name)
def test_documents_have_places(document: Path) -> None:
    assert "| x |" in figures.with_table(document.read_text(encoding="utf-8"), "| x |")


def test_picture_is_small() -> None:
    assert figures.PICTURE.stat().st_size <= 300_000
