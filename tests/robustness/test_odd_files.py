"""What is no regular file is refused in a sentence by every command, in whatever place it is given: nothing waits."""

import importlib
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskrt.cli import VERBS
from maskrt.command import run_verb

KINDS = ("pipe", "device", "socket", "folder")

DEMO = "maskrt.shapes.model:shapes_model"
SOURCE = ("--source", DEMO)
PICTURES = ("--images", "pictures", "--limit", "8")

REFERENCES = Path(__file__).resolve().parents[1] / "references"

READ = {
    "export config": ["export", "detectron2.pth", "--config", "ODD.yaml"],
    "export config in Python": ["export", "mmdet.pth", "--config", "ODD.py"],
    "export checkpoint": ["export", "maskrcnn_resnet50_fpn", "--checkpoint", "ODD.pth"],
    "export safetensors": ["export", "maskrcnn_resnet50_fpn", "--checkpoint", "ODD.safetensors"],
    "export source": ["export", "ODD.pth"],
    "export class names": ["export", DEMO, "--class-names", "ODD.txt"],
    "quantize model": ["quantize", "ODD.onnx", "--precision", "fp16"],
    "quantize images": ["quantize", "shapes.onnx", "--images", "ODD"],
    "quantize dataset": ["quantize", "shapes.onnx", *PICTURES, "--dataset", "ODD.json"],
    "quantize images of a dataset": ["quantize", "shapes.onnx", "--images", "ODD.json"],
    "quantize layers": ["quantize", "shapes.onnx", *PICTURES, "--layers", "ODD.json"],
    "quantize cache": ["quantize", "shapes.onnx", *PICTURES, "--cache", "ODD.json"],
    "engine model": ["engine", "ODD.onnx", "--target", "rtx4090"],
    "infer model": ["infer", "ODD.onnx", "--images", "pictures"],
    "infer engine": ["infer", "ODD.engine", "--images", "pictures"],
    "infer manifest": ["infer", "whole.engine", "--images", "pictures"],
    "infer images": ["infer", "model.onnx", "--images", "ODD.png"],
    "infer video": ["infer", "model.onnx", "--images", "ODD.mp4"],
    "compare model": ["compare", "ODD.onnx", *SOURCE, "--images", "pictures"],
    "compare images": ["compare", "shapes.onnx", *SOURCE, "--images", "ODD.png"],
    "compare checkpoint": ["compare", "model.onnx", *SOURCE, "--checkpoint", "ODD.pth", "--images", "pictures"],
    "compare class names": ["compare", "model.onnx", *SOURCE, "--class-names", "ODD.txt", "--images", "pictures"],
    "evaluate model": ["evaluate", "ODD.onnx", "--dataset", "data.json"],
    "evaluate dataset": ["evaluate", "model.onnx", "--dataset", "ODD.json"],
    "evaluate images": ["evaluate", "model.onnx", "--dataset", "data.json", "--images", "ODD"],
    "bench model": ["bench", "ODD.onnx", "--images", "pictures"],
    "bench images": ["bench", "model.onnx", "--images", "ODD.png"],
    "report results": ["report", "ODD.json"],
    "package model": ["package", "ODD.onnx"],
    "package engine": ["package", "ODD.engine"],
    "package manifest": ["package", "whole.engine"],
    "serve model": ["serve", "ODD.onnx"],
    "serve key": ["serve", "model.onnx", "--api-key-file", "ODD.txt"],
}
"""By what is odd; ODD stands for it, and `whole.engine` has an odd manifest."""

WRITTEN = {
    "export": ["export", DEMO, "-o", "ODD.onnx"],
    "quantize": ["quantize", "shapes.onnx", "--precision", "fp16", "-o", "ODD.onnx"],
    "engine": ["engine", "shapes.onnx", "--target", "rtx4090", "-o", "ODD.engine"],
    "infer": ["infer", "model.onnx", "--images", "pictures", "-o", "ODD"],
    "compare": ["compare", "model.onnx", *SOURCE, "--images", "pictures", "-o", "ODD"],
    "evaluate": ["evaluate", "model.onnx", "--dataset", "data.json", "-o", "ODD"],
    "bench": ["bench", "model.onnx", "--images", "pictures", "-o", "ODD.json"],
    "report": ["report", "results.json", "-o", "ODD.html"],
    "package": ["package", "model.onnx", "-o", "ODD.tar.gz"],
}
"""By verb; a folder is what some of them write."""
_FOLDERS = {"infer", "compare", "evaluate"}


def make_odd(path: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)  # relative: the name of a socket is short


@pytest.fixture
def _nothing_waits() -> Iterator[None]:
    """Ends a test that waits for a pipe: with a failure, instead of never."""

    def fail(number: int, frame: object) -> None:
        pytest.fail("it waits for what never comes")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def _place(
    write_model: Callable[..., Path], shapes_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder to work in: `model.onnx`, `shapes.onnx`, `pictures`, and a checkpoint that nothing will read."""
    monkeypatch.chdir(tmp_path)
    write_model()
    Path("shapes.onnx").symlink_to(shapes_onnx)
    Path("pictures").mkdir()
    for number in range(8):
        cv2.imwrite(f"pictures/{number}.png", np.zeros((50, 60, 3), np.uint8))
    for name in ("file.pth", "whole.engine"):
        Path(name).write_bytes(b"content")
    for name, checkpoint in (
        ("detectron2.pth", "d2_cascade_mask_rcnn_R_50_FPN/model_final.pth"),
        ("mmdet.pth", "mm_mask-rcnn_r50_fpn/epoch_12.pth"),
    ):
        Path(name).symlink_to(REFERENCES / checkpoint)
    Path("data.json").write_text(json.dumps({"images": [{"id": 1, "file_name": "0.png"}]}))


def refusal(arguments: list[str], odd: str, capfd: pytest.CaptureFixture[str]) -> str:
    verb, *given = (argument.replace("ODD", odd) for argument in arguments)
    assert run_verb(f"maskrt {verb}", importlib.import_module(VERBS[verb].module), given) == 2
    message = capfd.readouterr().err
    assert "Traceback" not in message
    return message


@pytest.mark.usefixtures("_nothing_waits", "_place")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", READ)
def test_what_is_read(place: str, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = READ[place]
    if place.endswith("manifest"):
        odd = "whole.engine.json"
    else:
        odd = next(argument for argument in arguments if argument.startswith("ODD")).replace("ODD", "odd")
    make_odd(Path(odd), kind)
    assert odd in refusal(arguments, "odd", capfd)


@pytest.mark.usefixtures("_nothing_waits", "_place")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("verb", WRITTEN)
def test_what_is_written(verb: str, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    if kind == "folder" and verb in _FOLDERS:
        pytest.skip("it writes into a folder")
    odd = next(argument for argument in WRITTEN[verb] if argument.startswith("ODD")).replace("ODD", "odd")
    make_odd(Path(odd), kind)
    before = Path(odd).lstat()
    assert "odd" in refusal(WRITTEN[verb], "odd", capfd)
    assert Path(odd).lstat().st_ino == before.st_ino
