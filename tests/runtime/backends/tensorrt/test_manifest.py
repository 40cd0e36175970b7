"""What a TensorRT engine's manifest says of it, and every mismatch said with both sides and what mends it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import maskrt
from maskrt.contract.manifest import BuildInputs, Manifest
from maskrt.runtime import ModelError
from maskrt.runtime.backends.tensorrt.manifest import (
    FLAVOR_NAMES,
    Profile,
    check_gpu,
    check_plugins,
    check_tensorrt,
    tensorrt_settings,
)

ENGINE = Path("model.engine")
REBUILD = "`maskrt engine model.onnx --target rtx4090`"


@pytest.fixture
def manifest(build_inputs: Callable[..., BuildInputs]) -> Manifest:
    """The manifest of an engine for Ada."""
    return Manifest({}, build_inputs(builder="tensorrt-rtx", builder_version="1.7.1.116"), (), (), {}, {})


def changed(manifest: Manifest, **settings: Any) -> Manifest:
    build = dataclasses.replace(manifest.build, settings={**manifest.build.settings, **settings})
    return dataclasses.replace(manifest, build=build)


def test_settings_are_read_as_they_were_written(manifest: Manifest) -> None:
    settings = tensorrt_settings(ENGINE, manifest)
    assert settings.profile == Profile((1, 32, 32), (1, 64, 128), (8, 512, 512))
    assert settings.to_json() == manifest.build.settings


def test_everything_fits(manifest: Manifest) -> None:
    check_gpu(ENGINE, manifest, "8.9", "NVIDIA L4")
    check_tensorrt(ENGINE, manifest, "tensorrt-rtx", "1.7.1.116")
    check_plugins(ENGINE, manifest, maskrt.__version__)


def test_another_gpu(manifest: Manifest) -> None:
    with pytest.raises(ModelError, match=r"rtx4090 .*8\.9.*, but this GPU is Tesla T4 .*7\.5.*--target local"):
        check_gpu(ENGINE, manifest, "7.5", "Tesla T4")


@pytest.mark.parametrize(("flavor", "version"), [("tensorrt-rtx", "1.8.0.1"), ("tensorrt", "1.7.1.116")])
def test_another_tensorrt(manifest: Manifest, flavor: str, version: str) -> None:
    name = FLAVOR_NAMES[flavor]
    message = rf"built by TensorRT-RTX 1\.7\.1\.116, but {name} {version} is installed here.*{REBUILD}"
    with pytest.raises(ModelError, match=message):
        check_tensorrt(ENGINE, manifest, flavor, version)


def test_another_plugin_version(manifest: Manifest) -> None:
    with pytest.raises(
        ModelError,
        match=rf"plugin library {re.escape(maskrt.__version__)}, but 9.9.9 is installed.*make plugins.*{REBUILD}",
    ):
        check_plugins(ENGINE, manifest, "9.9.9")


@pytest.mark.parametrize(
    "settings",
    [
        {"compute_capability": None},
        {"plugin_version": 7},
        {"profile": {"min": [1, 32], "opt": [1, 32], "max": [1, 32]}},
        {"profile": {"min": [1, 32, 32]}},
        {"profile": [1]},
        {"workspace_mib": "many"},
        {"surprise": 1},
    ],
)
def test_settings_that_are_not_tensorrts(manifest: Manifest, settings: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"model.engine.json is damaged .*: its settings are not TensorRT's"):
        tensorrt_settings(ENGINE, changed(manifest, **settings))


def test_the_manifest_of_another_builder(manifest: Manifest) -> None:
    other = dataclasses.replace(manifest, build=dataclasses.replace(manifest.build, builder="openvino"))
    with pytest.raises(ModelError, match=r"engine.json is damaged .*'openvino' built the engine.*no .engine files"):
        tensorrt_settings(ENGINE, other)
