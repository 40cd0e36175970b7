import json
import sys
from pathlib import Path

import pytest

from maskrt.evaluation.bench import cli as bench
from maskrt.evaluation.bench.sides import STAGES
from maskrt.evaluation.bench.table import operations_table


@pytest.fixture
def run(tmp_path: Path):
    def run(*arguments: object) -> int:
        return bench.main([*map(str, arguments), "--output", str(tmp_path / "new" / "bench.json")])

    return run


def test_model_files_and_torchvision_in_one_file(run, shapes_onnx: Path, tmp_path: Path, capsys):
    options = ["--batch", "2", "--size", "240x320", "--pictures", "2", "--repeats", "2", "--warm-up", "1"]
    assert run(shapes_onnx, "--against", "torchvision", *options, "--threads", "1") == 0
    result = json.loads((tmp_path / "new" / "bench.json").read_text())
    assert (result["format"], result["kind"], result["failed"]) == (1, "bench", [])
    assert result["environment"]["packages"]["torch"]
    torch_side, file_side = result["pipeline"]
    assert (torch_side["name"], file_side["name"]) == ("PyTorch", "shapes.onnx")
    assert (torch_side["precision"], file_side["precision"]) == ("fp32", "fp32")
    assert torch_side["detections_per_image"] == pytest.approx(file_side["detections_per_image"], abs=1) != 0
    for record in result["pipeline"]:
        assert (record["batch"], record["picture_size"]) == (2, [240, 320])
        assert record["seconds"].keys() == {*STAGES, "total"}
        assert 0 < record["seconds"]["infer"]["median"] < record["seconds"]["total"]["median"]
        assert record["peak_memory"]["host"] > 50e6
    assert torch_side["overlapped_images_per_second"] is None
    assert file_side["overlapped_images_per_second"] > 0
    # torch is in the memory of its own side alone.
    assert torch_side["peak_memory"]["host"] > file_side["peak_memory"]["host"] + 100e6
    printed = capsys.readouterr().out
    assert "batch 2, pictures of 240x320" in printed
    assert "shapes.onnx" in printed


def test_files_of_one_name_are_told_apart(run, shapes_onnx: Path, tmp_path: Path):
    other = tmp_path / "other" / shapes_onnx.name
    other.parent.mkdir()
    other.symlink_to(shapes_onnx)
    assert run(shapes_onnx, other, "--pictures", "1", "--repeats", "1", "--warm-up", "1") == 0
    records = json.loads((tmp_path / "new" / "bench.json").read_text())["pipeline"]
    assert [record["name"] for record in records] == [str(shapes_onnx), str(other)]


def test_operations_table():
    seconds = {"median": 0.9, "p90": 1, "p99": 1}
    record = {
        "operation": "paste",
        "image_size": [1080, 1920],
        "reference": "pycocotools",
        "reference_seconds": seconds,
        "seconds": {"median": 0.01},
        "ratio": {"median": 90, "least": 80, "most": 100},
        "differing": 0,
    }
    line = operations_table([record]).splitlines()[1]
    assert "900.0" in line
    assert "90x (80x to 100x) than pycocotools; 0 results differ" in line


def test_nothing_to_measure(run, capsys):
    assert run() == 2
    assert "--against torchvision" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    ["model.transform.min_size = (256,)", "model.transform.max_size = 999", "model.rpn.head.conv[0][0].bias.data += 1"],
)
def test_another_model_is_refused(run, shapes_onnx: Path, tmp_path: Path, capsys, change: str):
    """The same time on other work would mean nothing."""
    (tmp_path / "factory_of_another.py").write_text(
        "from maskrt.shapes.model import shapes_model\ndef make():\n"
        f"    model = shapes_model()\n    {change}\n    return model\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        patch.delitem(sys.modules, "factory_of_another", raising=False)
        assert run(shapes_onnx, "--against", "torchvision", "--model", "factory_of_another:make") == 2
    assert "was not exported from the PyTorch model: it has weights" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.onnx"], "missing.onnx"),
        (["--against", "torchvision", "--model", "no.such:thing"], "cannot import 'no.such'"),
        (["--against", "torchvision", "--model", "maskrcnn_resnet50_fpn"], "needs weights"),
    ],
)
def test_bad_input_is_a_sentence(run, arguments: list[str], message: str, tmp_path: Path, capsys):
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("maskrt bench: ")
    assert message in error
    assert not (tmp_path / "new" / "bench.json").exists()


@pytest.mark.parametrize(
    "option", [["--batch", "0"], ["--size", "320"], ["--size", "0x5"], ["--repeats", "-1"], ["--against", "jax"]]
)
def test_bad_options(run, option: list[str], capsys):
    with pytest.raises(SystemExit) as stopped:
        run("model.onnx", *option)
    assert stopped.value.code == 2
    assert option[1] in capsys.readouterr().err


def test_a_failed_side_is_exit_code_1(run, monkeypatch: pytest.MonkeyPatch, shapes_onnx: Path, capsys):
    failure = {"name": "a.engine", "batch": 1, "reason": "too large a batch"}
    monkeypatch.setattr(bench, "measure_pipeline", lambda *a: ([], [failure]))
    assert run(shapes_onnx, "--pictures", "1") == 1
    assert "failed: a.engine: too large a batch" in capsys.readouterr().err


def test_interrupted(run, monkeypatch: pytest.MonkeyPatch, shapes_onnx: Path, tmp_path: Path, capsys):
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "measure_pipeline", interrupt)
    assert run(shapes_onnx, "--pictures", "1") == 130
    assert "no result was written" in capsys.readouterr().err
    assert not (tmp_path / "new" / "bench.json").exists()


def test_no_place_to_write_is_said_before_anything_is_measured(tmp_path: Path, capsys):
    (tmp_path / "file").write_text("")
    assert bench.main(["missing.onnx", "--output", str(tmp_path / "file" / "bench.json")]) == 2
    assert "file cannot be written: " in capsys.readouterr().err
