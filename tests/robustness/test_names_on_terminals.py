"""Names of files and classes do nothing to the terminal, whichever command prints them."""

import importlib
import json
import os
import re
from pathlib import Path

import cv2
import onnx
import pytest
from onnx import helper

from maskrt.cli import VERBS
from maskrt.command import run_verb
from maskrt.contract.seal import SEAL, sealed
from maskrt.evaluation.results.files import write_result

from ..evaluation.conftest import benchmark

DEMO = "maskrt.shapes.model:shapes_model"

ODD = os.fsdecode(b"o\x1b[31md\x07\xc2\x9b\xe2\x80\xae\xfc\n")
"""Colours the terminal, rings, opens a sequence in C1, turns the direction of writing; a byte that is no text."""
SHOWN = r"o\x1b[31md\x07\x9b\u202e\xfc"

_COMMANDS = re.compile("[\0-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

MISSING = {
    "export": ["export", "ODD.pth"],
    "deploy": ["deploy", "ODD.pth", "--target", "openvino"],
    "quantize": ["quantize", "ODD.onnx", "--precision", "fp16"],
    "engine": ["engine", "ODD.onnx", "--target", "rtx4090"],
    "infer": ["infer", "ODD.onnx", "--images", "."],
    "infer images": ["infer", "shapes.onnx", "--images", "ODD.png"],
    "compare": ["compare", "ODD.onnx", "--source", DEMO, "--images", "photo.png"],
    "evaluate": ["evaluate", "shapes.onnx", "--dataset", "ODD.json"],
    "bench": ["bench", "ODD.onnx", "--images", "photo.png"],
    "report": ["report", "ODD.json"],
    "package": ["package", "ODD.onnx"],
    "serve": ["serve", "ODD.onnx"],
    "targets": ["targets", "ODD"],
}
"""Commands that name a file that is not there."""

DONE = {
    "export": ["export", DEMO, "-o", "ODD/new.onnx", "--skip-verification"],
    "quantize": ["quantize", "ODD/ODD.onnx", "--precision", "fp16", "-o", "ODD/half.onnx"],
    "engine": ["engine", "ODD/ODD.onnx", "--target", "openvino", "-o", "ODD/cpu.openvino.xml"],
    "infer": ["infer", "ODD/ODD.onnx", "--images", "ODD", "-o", "ODD/out"],
    "compare": ["compare", "ODD/ODD.onnx", "--source", DEMO, "--images", "ODD", "-o", "ODD/out"],
    "evaluate": ["evaluate", "ODD/ODD.onnx", "--dataset", "ODD/ODD.json", "-o", "ODD/out"],
    "bench": ["bench", "ODD/ODD.onnx", "--images", "ODD", "--repeats", "1", "--warm-up", "1", "-o", "ODD/bench.json"],
    "package": ["package", "ODD/plain.onnx"],
}
"""Commands that do what they are told; the exit code of `compare` says that class names differ."""


@pytest.fixture
def place(shapes_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the demo's file, a picture and a data set, all of them and the first class of an odd name."""
    monkeypatch.chdir(tmp_path)
    folder = Path(ODD)
    folder.mkdir()
    model = onnx.load(shapes_onnx)
    properties = {entry.key: entry.value for entry in model.metadata_props if entry.key != SEAL}
    names = json.loads(properties["maskrt.class_names"])
    name = f"odd {SHOWN}".encode().decode("unicode_escape")
    helper.set_model_props(model, properties | {"maskrt.class_names": json.dumps([names[0], name, *names[2:]])})
    content = sealed(model.SerializeToString())
    for path in (folder / f"{ODD}.onnx", folder / "plain.onnx", Path("shapes.onnx")):
        path.write_bytes(content)
    from maskrt.shapes.scenes import generate_scene

    image = cv2.cvtColor(generate_scene(2, "test").image, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".png", image)
    for path in (folder / f"{ODD}.png", Path("photo.png")):
        path.write_bytes(encoded.tobytes())
    box = [1.0, 2.0, 30.0, 40.0]
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": box, "area": 1200, "iscrowd": 0}
    dataset = {
        "images": [{"id": 1, "file_name": f"{ODD}.png", "height": image.shape[0], "width": image.shape[1]}],
        "categories": [{"id": 1, "name": name}],
        "annotations": [annotation],
    }
    (folder / f"{ODD}.json").write_text(json.dumps(dataset))
    return folder


def said(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    verb, *given = (argument.replace("ODD", ODD) for argument in arguments)
    try:
        code = run_verb(f"maskrt {verb}", importlib.import_module(VERBS[verb].module), given)
    except SystemExit as usage:
        code = int(usage.code or 0)
    captured = capfd.readouterr()
    return code, captured.out + captured.err


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("command", MISSING)
def test_what_is_refused(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    code, text = said(MISSING[command], capfd)
    assert code == 2
    assert SHOWN in text
    assert not _COMMANDS.findall(text)
    assert "Traceback" not in text


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("command", DONE)
def test_what_is_done(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    code, text = said(DONE[command], capfd)
    assert code == (1 if command == "compare" else 0), text
    assert SHOWN in text
    assert not _COMMANDS.findall(text)


@pytest.mark.usefixtures("place")
def test_a_name_that_cannot_stand_in_a_command(capfd: pytest.CaptureFixture[str]) -> None:
    """A package has a README with commands in it."""
    code, text = said(["package", "ODD/ODD.onnx"], capfd)
    assert code == 2
    assert "its name has control characters or bytes that are no text. Rename it" in text
    assert not _COMMANDS.findall(text)


def test_results_on_a_page(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_result(place / "bench.json", benchmark())
    code, text = said(["report", "ODD", "-o", "ODD/ODD.html"], capfd)
    assert code == 0
    assert SHOWN in text
    assert not _COMMANDS.findall(text)


def test_every_verb_is_tried() -> None:
    assert {command.partition(" ")[0] for command in MISSING} == VERBS.keys() - {"doctor"}  # it takes no names


def test_the_pattern_finds_what_it_should() -> None:
    """The control: `ODD` itself."""
    assert len(_COMMANDS.findall(ODD)) == 5


def test_an_engine_of_an_odd_name_runs(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever its ONNX file, itself and its folder are called."""
    said(["engine", "ODD/ODD.onnx", "--target", "openvino", "-o", "ODD/cpu.openvino.xml"], capfd)
    code, text = said(["infer", "ODD/cpu.openvino.xml", "--images", "photo.png", "-o", "ODD/out"], capfd)
    assert code == 0, text
