"""Every command says in a sentence, within seconds, that it does not take a hostile file."""

import importlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from maskrt.command import run_verb

COMMANDS = {
    "infer": ["MODEL", "--images", "PICTURE", "-o", "out"],
    "quantize": ["MODEL", "--precision", "fp16", "-o", "out.onnx"],
    "engine": ["MODEL", "--target", "rtx4090", "-o", "out.engine"],
    "compare": ["MODEL", "--source", "maskrt.shapes.model:shapes_model", "--images", "PICTURE", "-o", "out"],
    "evaluate": ["MODEL", "--dataset", "missing.json", "-o", "out"],
    "bench": ["MODEL", "--images", "PICTURE", "-o", "out"],
    "package": ["MODEL", "-o", "out.tar.gz"],
}


def many_nodes(model: onnx.ModelProto) -> None:
    model.graph.node.extend([helper.make_node("Identity", ["x"], ["y"])] * 300_000)


def weights_elsewhere(model: onnx.ModelProto) -> None:
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [1], [0.0])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.append(onnx.StringStringEntryProto(key="location", value="/etc/passwd"))
    model.graph.initializer.append(tensor)


@pytest.mark.parametrize("verb", COMMANDS)
@pytest.mark.parametrize("change", [many_nodes, weights_elsewhere], ids=lambda change: change.__name__)
def test_each_command(
    write_model: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verb: str,
    change: Callable[[onnx.ModelProto], None],
) -> None:
    from maskrt.cli import VERBS

    monkeypatch.chdir(tmp_path)
    model = onnx.load(write_model())
    change(model)
    Path("model.onnx").write_bytes(model.SerializeToString())
    cv2.imwrite("a.png", np.zeros((50, 60, 3), np.uint8))
    names = {"MODEL": "model.onnx", "PICTURE": "a.png"}
    code = run_verb(
        f"maskrt {verb}", importlib.import_module(VERBS[verb].module), [names.get(a, a) for a in COMMANDS[verb]]
    )
    assert code == 2
    message = capsys.readouterr().err
    assert "model.onnx " in message
    assert "operators" in message or "other files" in message
    assert "Traceback" not in message
