import re
import sys
from pathlib import Path

import pytest

from maskrt.evaluation.bench import cli as bench
from maskrt.evaluation.bench import run as bench_run
from maskrt.evaluation.bench.table import operations_table
from maskrt.evaluation.results.bench import STAGES, Benchmark, Failure, OperationRecord, Ratio, Seconds
from maskrt.evaluation.results.files import read_result

DEMO = "maskrt.shapes.model:shapes_model"


@pytest.fixture
def run(tmp_path: Path):
    def run(*arguments: object) -> int:
        return bench.main([*map(str, arguments), "--output", str(tmp_path / "new" / "bench.json")])

    return run


@pytest.fixture
def images(demo_scenes: Path) -> list[str]:
    """The option that names pictures to measure on."""
    return ["--images", str(demo_scenes.parent)]


@pytest.fixture
def written(tmp_path: Path):
    """The results that `run` wrote."""

    def read() -> Benchmark:
        result = read_result(tmp_path / "new" / "bench.json")
        assert isinstance(result, Benchmark)
        return result

    return read


def test_model_files_and_pytorch_in_one_file(run, written, images: list[str], shapes_onnx: Path, capsys):
    options = ["--batch-size", "2", "--size", "240x320", "--limit", "2", "--repeats", "2", "--warm-up", "1"]
    assert run(shapes_onnx, "--against", "pytorch", "--source", DEMO, *images, *options, "--threads", "1") == 0
    result = written()
    assert result.failed == ()
    assert (result.settings.pictures, result.settings.threads) == (2, 1)
    assert result.environment.packages["torch"]
    torch_side, file_side = result.pipeline
    assert (torch_side.name, file_side.name) == ("PyTorch", "shapes.onnx")
    assert (torch_side.precision, file_side.precision) == ("fp32", "fp32")
    assert torch_side.detections_per_image == pytest.approx(file_side.detections_per_image, abs=1) != 0
    for record in result.pipeline:
        assert (record.batch, record.picture_size) == (2, (240, 320))
        assert all(getattr(record.seconds, stage).median > 0 for stage in STAGES)
        assert 0 < record.seconds.infer.median < record.seconds.total.median
        assert record.peak_memory.host > 50e6
    assert torch_side.overlapped_images_per_second is None
    assert file_side.overlapped_images_per_second > 0
    # torch is in the memory of its own side alone.
    assert torch_side.peak_memory.host > file_side.peak_memory.host + 100e6
    printed = capsys.readouterr().out
    assert "batch 2, pictures of 240x320" in printed
    assert "shapes.onnx" in printed


def test_files_of_one_name_are_told_apart(run, written, images: list[str], shapes_onnx: Path, tmp_path: Path):
    other = tmp_path / "other" / shapes_onnx.name
    other.parent.mkdir()
    other.symlink_to(shapes_onnx)
    assert run(shapes_onnx, other, *images, "--limit", "1", "--repeats", "1", "--warm-up", "1") == 0
    assert [record.name for record in written().pipeline] == [str(shapes_onnx), str(other)]


def test_operations_table():
    record = OperationRecord(
        operation="paste",
        image_size=(1080, 1920),
        reference="pycocotools",
        reference_seconds=Seconds(0.9, 1, 1),
        seconds=Seconds(0.01, 0.01, 0.01),
        ratio=Ratio(90, 80, 100),
        differing=0,
    )
    line = operations_table([record])[1]
    assert "900.0" in line
    assert "90x (80x to 100x) than pycocotools; 0 results differ" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "There is nothing to measure: give model files, --against pytorch, or --operations."),
        (["model.onnx"], "There is nothing to measure on: give --images"),
        (
            ["--against", "pytorch", "--images", "."],
            "--against compares with the PyTorch model .*--source",
        ),
        (["model.onnx", "--images", ".", "--source", DEMO], "give --against pytorch, too"),
        (["model.onnx", "--images", ".", "--weights", "COCO_V1"], "--weights COCO_V1 says more about a source model"),
        (["--operations", "--images", "."], "--images and --size are for model files"),
        (["--operations", "--size", "3x4"], "--images and --size are for model files"),
    ],
)
def test_options_that_lack_another_or_would_mean_nothing(run, arguments: list[str], message: str, tmp_path, capsys):
    assert run(*arguments) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "change",
    ["model.transform.min_size = (256,)", "model.transform.max_size = 999", "model.rpn.head.conv[0][0].bias.data += 1"],
)
def test_another_model_is_refused(run, images: list[str], shapes_onnx: Path, tmp_path: Path, capsys, change: str):
    """The same time on other work would mean nothing."""
    (tmp_path / "factory_of_another.py").write_text(
        "from maskrt.shapes.model import shapes_model\ndef make():\n"
        f"    model = shapes_model()\n    {change}\n    return model\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        patch.delitem(sys.modules, "factory_of_another", raising=False)
        assert run(shapes_onnx, *images, "--against", "pytorch", "--source", "factory_of_another:make") == 2
    assert "was not exported from the PyTorch model: it has weights" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.onnx"], "missing.onnx"),
        (["--against", "pytorch", "--source", "no.such:thing"], "cannot import 'no.such'"),
        (["--against", "pytorch", "--source", "maskrcnn_resnet50_fpn"], "needs weights"),
    ],
)
def test_bad_input_is_a_sentence(run, images, arguments: list[str], message: str, tmp_path: Path, capsys):
    assert run(*arguments, *images) == 2
    error = capsys.readouterr().err
    assert error.startswith("maskrt bench: ")
    assert message in error
    assert not (tmp_path / "new" / "bench.json").exists()


@pytest.mark.parametrize(
    "option",
    [
        *(["--batch-size", "0"], ["--batch-size", "999999999999"], ["--repeats", "-1"], ["--against", "jax"]),
        *(["--size", "320"], ["--size", "0x5"], ["--size", "99999x99999"]),
    ],
)
def test_bad_options(run, option: list[str], capsys):
    with pytest.raises(SystemExit) as stopped:
        run("model.onnx", *option)
    assert stopped.value.code == 2
    assert option[1] in capsys.readouterr().err


def test_a_failed_side_is_exit_code_1(run, written, images, monkeypatch: pytest.MonkeyPatch, shapes_onnx: Path, capsys):
    failure = Failure("a.engine", 1, None, "too large a batch")
    monkeypatch.setattr(bench_run, "measure_pipeline", lambda *a: ([], [failure]))
    assert run(shapes_onnx, *images, "--limit", "1") == 1
    assert "failed: a.engine, batch 1: too large a batch" in capsys.readouterr().err
    assert written().failed == (failure,)


def test_interrupted(run, images, monkeypatch: pytest.MonkeyPatch, shapes_onnx: Path, tmp_path: Path, capsys):
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench_run, "measure_pipeline", interrupt)
    assert run(shapes_onnx, *images, "--limit", "1") == 130
    assert "no result was written" in capsys.readouterr().err
    assert not (tmp_path / "new" / "bench.json").exists()


def test_no_place_to_write_is_said_before_anything_is_measured(tmp_path: Path, capsys):
    (tmp_path / "file").write_text("")
    assert bench.main(["missing.onnx", "--images", "x.png", "--output", str(tmp_path / "file" / "bench.json")]) == 2
    assert "file cannot be written: " in capsys.readouterr().err
