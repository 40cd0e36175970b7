"""The plugin library, the command line in a process of its own, and a model that is never parsed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from maskrt.plugins import libraries

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def without_plugins(tmp_path: Path) -> Command:
    """`without_plugins(*arguments)` runs maskrt-engine where no plugin library is found."""
    return lambda *arguments: run_command(tmp_path / "no plugins", *arguments)


@pytest.fixture(scope="session")
def maskrt_engine(plugin_directory: Path) -> Command:
    """`maskrt_engine(*arguments)` runs maskrt-engine; a builder that ends its process does not end the tests."""
    return lambda *arguments: run_command(plugin_directory, *arguments)


def run_command(plugins: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "maskrt.engines", *map(str, arguments)]
    environment = {**os.environ, libraries.DIRECTORY_VARIABLE: str(plugins), "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=900)


@pytest.fixture(scope="session")
def skeleton_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that passes for an exported model until its graph is parsed: metadata, inputs, and one custom node."""
    path = tmp_path_factory.mktemp("skeleton") / "skeleton.onnx"
    save_skeleton(path)
    return path


@pytest.fixture(scope="session")
def write_skeleton() -> Callable[..., None]:
    """`write_skeleton(path, precision='"fp8"')`: the skeleton with other metadata, as JSON text."""
    return save_skeleton


def save_skeleton(path: Path, **metadata: str) -> None:
    images = onnx.helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, ["batch", "height", "width", 3])
    node = onnx.helper.make_node("MultilevelRoIAlign", ["images"], ["boxes"], domain="maskrt")
    output = onnx.helper.make_tensor_value_info("boxes", onnx.TensorProto.FLOAT, None)
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "maskrt", [images], [output]))
    values = {
        "format": "1",
        "version": '"0.1.0"',
        "model_family": '"torchvision.MaskRCNN"',
        "class_names": '["__background__", "disk"]',
        "min_size": "256",
        "max_size": "448",
        "size_divisor": "32",
        "score_threshold": "0.05",
        "nms_threshold": "0.5",
        "detections_per_image": "40",
        "weights_sha256": '"00"',
        "precision": '"fp32"',
    }
    values.update(metadata)
    onnx.helper.set_model_props(model, {f"maskrt.{key}": value for key, value in values.items()})
    onnx.save(model, path)
