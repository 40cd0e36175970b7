"""Files of lower precision build with TensorRT-RTX, and are refused where the GPU cannot run them."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from maskrt.plugins import libraries

needs_rtx = pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX is not installed")


@pytest.fixture(scope="module")
def files(shapes_onnx, int8_onnx, fp8_onnx, tmp_path_factory):
    from maskrt.calibration import quantize

    fp16 = quantize(shapes_onnx, tmp_path_factory.mktemp("precisions") / "fp16.onnx", "fp16").path
    return {"fp16": fp16, "int8": int8_onnx, "fp8": fp8_onnx}


def build(onnx, target, engine, plugins=None):
    environment = dict(os.environ) if plugins is None else {**os.environ, libraries.DIRECTORY_VARIABLE: str(plugins)}
    options = ["--target", target, "--builder", "tensorrt-rtx", "--output", str(engine)]
    command = [sys.executable, "-m", "maskrt.engines", str(onnx), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@needs_rtx
@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "target"),
    [("fp16", "t4"), ("fp16", "l4"), ("int8", "t4"), ("int8", "l4"), ("fp8", "l4"), ("fp8", "rtx5090")],
)
def test_builds_with_the_plugin_layers_in_place(files, precision, target, tmp_path, plugin_directory):
    engine = tmp_path / "model.engine"
    result = build(files[precision], target, engine, plugin_directory)
    assert result.returncode == 0, result.stderr
    manifest = json.loads(engine.with_name("model.engine.json").read_text())
    assert manifest["plugin_layers"] == {"DetectionOutput": 1, "GenerateProposals": 1, "MultilevelRoIAlign": 2}


@pytest.mark.parametrize("target", ["t4", "rtx3090"])
def test_fp8_is_refused_where_there_is_none(files, target, tmp_path):
    result = build(files["fp8"], target, tmp_path / "model.engine")
    assert result.returncode == 2
    assert "has no fp8" in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []
