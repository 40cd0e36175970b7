import json
import os
import subprocess
import sys

import pytest

from maskrt.calibration.cli import main


@pytest.mark.slow
def test_int8_with_accuracy_then_again_from_the_cache(shapes_onnx, scene_folder, held_out, tmp_path, capsys):
    output = tmp_path / "model.int8.onnx"
    arguments = [str(shapes_onnx), "--images", str(scene_folder), "--output", str(output), "--dataset", str(held_out)]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert "only 10 images; 64 are sensible" in captured.err
    assert "[10/10]" in captured.err
    assert "100.0% of the multiply-accumulates are int8" in captured.out
    assert "fp32: box AP 0." in captured.out
    assert "int8: box AP 0." in captured.out
    choice = json.loads((tmp_path / "model.int8.layers.json").read_text())
    assert choice["fp16_layers"] == []
    assert set(choice["ap"]) == {"box", "mask", "keypoints"}
    assert choice["ap"]["keypoints"] is None
    first = output.read_bytes()
    assert main(arguments[:-2]) == 0
    captured = capsys.readouterr()
    assert "Reusing the calibration" in captured.err
    assert "Calibrating" not in captured.err
    assert output.read_bytes() == first
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "model.int8.layers.json",
        "model.int8.onnx",
        "shapes.percentile.calibration.json",
    ]


def test_fp16_needs_no_images_and_names_its_output_after_the_model(shapes_onnx, tmp_path, capsys):
    model = tmp_path / "model.onnx"
    model.write_bytes(shapes_onnx.read_bytes())
    assert main([str(model), "--precision", "fp16"]) == 0
    assert "model.fp16.onnx: 1" in capsys.readouterr().out
    assert (tmp_path / "model.fp16.onnx").is_file()


@pytest.fixture
def quantize_with_budget(shapes_onnx, scene_folder, held_out, tmp_path, monkeypatch):
    """Runs `maskrt quantize --max-ap-drop 0.003` into a.onnx, with AP made up: of the FP32 file, and of all others."""
    from maskrt.calibration import cli
    from maskrt.calibration.accuracy import Accuracy

    def run(before, after):
        accuracies = iter([Accuracy(before, before)])
        monkeypatch.setattr(cli, "accuracy_on", lambda dataset: lambda file: next(accuracies, Accuracy(after, after)))
        arguments = ["--images", str(scene_folder), "--dataset", str(held_out), "--max-ap-drop", "0.003"]
        return main([str(shapes_onnx), "--output", str(tmp_path / "a.onnx"), *arguments])

    return run


@pytest.mark.slow
def test_a_budget_that_cannot_be_met(quantize_with_budget, tmp_path, capsys):
    assert quantize_with_budget(0.5, 0.4) == 1
    captured = capsys.readouterr()
    assert "no choice of layers keeps the loss of AP within 0.003; the best one loses 0.1000" in captured.err
    assert (tmp_path / "a.onnx").is_file()
    assert "roi_heads.mask_head.0" in captured.out


def test_a_budget_that_is_met(quantize_with_budget, capsys):
    assert quantize_with_budget(0.5, 0.498) == 0
    assert "The loss of AP, 0.0020, is within 0.003." in capsys.readouterr().out


def test_a_budget_where_there_is_no_ap_to_lose(quantize_with_budget, tmp_path, capsys):
    assert quantize_with_budget(0, 0) == 2
    assert "has a box AP of 0, so" in capsys.readouterr().err
    assert not (tmp_path / "a.onnx").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.onnx"], "there is no such file"),
        (["text.onnx"], "is not an ONNX file"),
        (["MODEL"], "int8 needs images to calibrate with"),
        (["MODEL", "--images", "nowhere"], "there is no such file or folder"),
        (["MODEL", "--images", "empty"], "there is no image in this folder"),
        (["MODEL", "--images", "SCENES", "--limit", "3"], "is too few"),
        (["MODEL", "--images", "SCENES", "--max-ap-drop", "0.003"], "A budget (--max-ap-drop) needs a data set"),
        (
            ["MODEL", "--images", "SCENES", "--dataset", "nowhere.json"],
            "Cannot read the data set nowhere.json: there is no such file",
        ),
        (
            ["MODEL", "--images", "SCENES", "--layers", "nowhere.json"],
            "Cannot read the choice of layers nowhere.json: there is no such file",
        ),
        (
            ["MODEL", "--precision", "fp16", "--dataset", "EVAL", "--max-ap-drop", "0"],
            "fp16 quantizes no layers, so it has no use for --max-ap-drop",
        ),
        (["MODEL", "--precision", "fp16", "--layers", "any.json"], "has no use for --layers"),
        (["MODEL", "--precision", "fp16", "--images", "SCENES", "--seed", "0"], "has no use for --images, --seed"),
        (
            ["MODEL", "--images", "SCENES", "--dataset", "EVAL", "--max-ap-drop", "0", "--layers", "a"],
            "does not go with",
        ),
        (["MODEL", "--images", "COCO"], "it and all others are in none of"),
        (["MODEL", "--precision", "fp16", "--output", "no/folder/a.onnx"], "there is no folder no/folder"),
        (["MODEL", "--precision", "fp16", "--output", "empty"], "is a folder"),
        (["MODEL", "--precision", "fp16", "--output", "new.bin"], "the runtime opens ONNX files by their suffix"),
        (["INT8", "--images", "SCENES"], "is of precision int8 already"),
        (
            ["MODEL", "--images", "SCENES", "--method", "max", "--percentile", "99.9"],
            "--percentile goes with --method percentile",
        ),
        (["MODEL", "--images", "SCENES", "--cache", "no/folder/a.json"], "there is no folder no/folder"),
        (["MODEL", "--images", "SCENES", "--cache", "MODEL"], "it is an input of this run"),
        (["MODEL", "--images", "SCENES", "--output", "MODEL"], "it is an input of this run"),
        (["MODEL", "--images", "COCO", "--cache", "COCO"], "it is an input of this run"),
        (["MODEL", "--images", "SCENES", "--dataset", "COCO", "--cache", "COCO"], "it is an input of this run"),
        (["MODEL", "--precision", "fp8", "--images", "SCENES", "--target", "t4"], "t4 .* has no fp8"),
        (["MODEL", "--precision", "fp16", "--target", "gtx480"], "There is no target 'gtx480'"),
    ],
)
def test_mistakes_get_a_sentence_and_leave_no_file(
    arguments, message, shapes_onnx, int8_onnx, scene_folder, held_out, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.onnx").write_text("hello")
    (tmp_path / "coco.json").write_text('{"images": [{"id": 1, "file_name": "gone.png"}]}')
    names = {"MODEL": shapes_onnx, "INT8": int8_onnx, "SCENES": scene_folder, "EVAL": held_out, "COCO": "coco.json"}
    given = [str(names.get(word, word)) for word in arguments]
    if "--output" not in given:
        given += ["--output", "out.onnx"]
    assert main(given) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("maskrt quantize: ")
    head, _, tail = message.partition(" .* ")
    assert head in error
    assert tail in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["coco.json", "empty", "text.onnx"]


def test_an_onnx_file_of_somebody_else(tmp_path, capsys):
    import onnx

    graph = onnx.parser.parse_graph("g (float[1] x) => (float[1] y) { y = Relu (x) }")
    onnx.save(onnx.helper.make_model(graph), tmp_path / "other.onnx")
    assert main([str(tmp_path / "other.onnx"), "--precision", "fp16"]) == 2
    assert "is not a maskrt model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"), [("--precision", "int4"), ("--limit", "0"), ("--max-ap-drop", "2"), ("--percentile", "50")]
)
def test_options_out_of_range(option, value, capsys):
    with pytest.raises(SystemExit):
        main(["model.onnx", option, value])
    assert option in capsys.readouterr().err


def test_one_able_target_is_enough(shapes_onnx, tmp_path, capsys):
    arguments = ["--precision", "fp16", "--output", str(tmp_path / "a.onnx"), "--target", "t4", "l4"]
    assert main([str(shapes_onnx), *arguments]) == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_folder(shapes_onnx, tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert main([str(shapes_onnx), "--precision", "fp16", "--output", str(tmp_path / "a.onnx")]) == 2
    assert "no permission" in capsys.readouterr().err


def test_without_onnx_it_says_what_to_install(tmp_path):
    code = "import sys; sys.modules['onnx'] = None; from maskrt.calibration.cli import main; sys.exit(main(['a.onnx']))"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "pip install maskrt[quantize" in result.stderr
    assert "Traceback" not in result.stderr


def test_nothing_heavy_is_loaded_for_help():
    code = "import sys; import maskrt.calibration.cli; assert 'onnx' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
