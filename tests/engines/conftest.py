"""The plugin library, the command line in a process of its own, and a model that is never parsed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import maskrt
from maskrt.contract.manifest import EngineFile, Manifest, Tensor, manifest_path
from maskrt.plugins import abi, libraries

from ..support.model_metadata import metadata_values, properties

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def without_plugins(tmp_path: Path) -> Command:
    """`without_plugins(*arguments)` runs maskrt engine where no plugin library is found."""
    return lambda *arguments: run_command(tmp_path / "no plugins", *arguments)


@pytest.fixture(scope="session")
def maskrt_engine(plugin_directory: Path) -> Command:
    """`maskrt_engine(*arguments)` runs maskrt engine; a builder that ends its process does not end the tests."""
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
    attributes = {"output_height": 7, "output_width": 7, "sampling_ratio": 2, "scales": [0.25], "mode": "avg"}
    attributes["coordinate_transformation_mode"] = "half_pixel"
    node = onnx.helper.make_node("MultilevelRoIAlign", ["images"], ["boxes"], domain="maskrt", **attributes)
    output = onnx.helper.make_tensor_value_info("boxes", onnx.TensorProto.FLOAT, None)
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "maskrt", [images], [output]))
    values = properties(min_size=256, max_size=448, detections_per_image=40)
    values.update({f"maskrt.{key}": text for key, text in metadata.items()})
    onnx.helper.set_model_props(model, values)
    onnx.save(model, path)


@pytest.fixture(scope="session")
def write_engine(build_inputs: Callable[..., Any]) -> Callable[..., Path]:
    """`write_engine(folder, onnx, target="l4")`: a file that passes for an engine until TensorRT reads it.

    It has random bytes and a manifest that fits them. The keywords are those of `build_inputs`.
    """

    def write(folder: Path, onnx_file: Path, **changes: Any) -> Path:
        engine = folder / "model.rtx4090.engine"
        content = np.random.default_rng(0).bytes(100_000)
        build = {
            "maskrt_version": maskrt.__version__,
            "onnx_file": onnx_file.name,
            "onnx_sha256": hashlib.sha256(onnx_file.read_bytes()).hexdigest(),
            "builder": "tensorrt-rtx",
            "builder_version": "1.7.1.116",
            "plugin_version": maskrt.__version__,
            "precision": "fp16",
        }
        manifest = Manifest(
            files={".engine": EngineFile.of(content)},
            build=build_inputs(**{**build, **changes}),
            inputs=(Tensor("images", "uint8", (-1, -1, -1, 3)),),
            outputs=(),
            plugin_layers={},
            model=metadata_values(precision="fp16"),
        )
        engine.write_bytes(content)
        manifest_path(engine).write_text(manifest.to_json())
        return engine

    return write


@pytest.fixture
def fake_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`fake_plugins(**facts)`: makes maskrt find a plugin library that says these things of itself."""

    def make(**facts: Any) -> Path:
        folder = tmp_path / "plugins"
        described = {"version": maskrt.__version__, "tensorrt_headers": "10.14.1", "cuda": 13000, **facts}
        text = json.dumps(json.dumps({"architectures": "89-real 120-virtual", **described}))
        for name in (libraries.AUTOLOAD, libraries.RTX_SHIM):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(name.encode())
        (tmp_path / "fake.c").write_text(
            f"int maskrt_abi_version(void) {{ return {abi.ABI_VERSION}; }}"
            f"const char* maskrt_plugins_version(void) {{ return {text}; }}"
        )
        command = ["gcc", "-shared", "-fPIC", str(tmp_path / "fake.c"), "-o", str(folder / libraries.PLUGINS)]
        subprocess.run(command, check=True)
        monkeypatch.setenv(libraries.DIRECTORY_VARIABLE, str(folder))
        return folder

    return make


@pytest.fixture
def unpack(tmp_path: Path) -> Callable[[Path], Path]:
    """`unpack(archive)` unpacks a package as a user does; returns the folder inside."""

    def extract(archive: Path) -> Path:
        device = tmp_path / "device"
        device.mkdir()
        result = subprocess.run(["tar", "xf", str(archive)], cwd=device, capture_output=True, text=True, check=True)
        assert result.stderr == ""  # no warning of implausible times
        (inside,) = device.iterdir()
        return inside

    return extract
