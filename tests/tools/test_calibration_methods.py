import json

import pytest

from maskrt.tools import calibration_methods as methods


@pytest.fixture
def measure(shapes_onnx, tmp_path, monkeypatch):
    """Runs the command on few scenes and with one method, into a folder."""
    monkeypatch.setattr(methods, "METHODS", {methods.DEFAULT: methods.METHODS[methods.DEFAULT]})
    monkeypatch.setattr(methods, "HELD_OUT_SCENES", 2)
    monkeypatch.setattr(methods, "PARTS", 2)

    def run(*options):
        arguments = ["--calibration-limit", "8", "--limit", "4", "--output", str(tmp_path), *options]
        return methods.main([str(shapes_onnx), *arguments])

    return run


@pytest.mark.slow
def test_each_file_is_scored_on_scenes_that_serve_nothing_else(measure, tmp_path, capsys):
    assert measure() == 0
    result = json.loads((tmp_path / "methods.json").read_text())
    assert (result["kind"], result["calibration_images"], result["images"]) == ("methods", 8, 4)
    models = {model["name"]: model for model in result["models"]}
    assert {name: model["precision"] for name, model in models.items()} == {
        "fp32": "fp32",
        methods.DEFAULT: "int8",
        "quantize_static": "int8",
    }
    assert models[methods.DEFAULT]["from_default"] == {"box": [0, 0], "mask": [0, 0]}
    for model in models.values():
        records = json.loads((tmp_path / model["results"]).read_text())
        assert {record["image_id"] for record in records} == {3, 4, 5, 6}
        for kind in ("box", "mask"):
            difference, error = model["from_default"][kind]
            assert difference == pytest.approx(model[kind]["AP"] - models[methods.DEFAULT][kind]["AP"])
            assert (error > 0) == (model["name"] != methods.DEFAULT)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| fp32", f"| {methods.DEFAULT}", "| quantize_static"]
    assert all(line.count("|") == 6 for line in lines)


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--limit", "1"], "--limit 1 is too few"), (["--calibration-limit", "7"], "with 7 images of")],
)
def test_too_few_scenes(measure, options, message, capsys):
    assert measure(*options) == 2
    assert message in capsys.readouterr().err
