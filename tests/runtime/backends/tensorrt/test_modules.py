"""The choice among the TensorRT packages that are installed."""

from __future__ import annotations

import importlib.machinery
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maskrt.contract.manifest import _checksum, manifest_path, read_manifest
from maskrt.runtime import DependencyError, ModelError
from maskrt.runtime.backends.tensorrt.manifest import tensorrt_settings
from maskrt.runtime.backends.tensorrt.modules import import_tensorrt, lean_library

VERSION = "10.13.3.9"


@pytest.fixture
def chosen(
    write_model: Callable[..., Path], write_engine: Callable[..., Path], install: Callable[..., Any]
) -> Callable[..., str]:
    """`chosen({"tensorrt": "10.1"}, builder=...)` -> the name of the package that is imported."""

    def choose(installed: dict[str, str], **build: Any) -> str:
        for name, version in installed.items():
            install(name, version)
        engine = write_engine(write_model(), **build)
        return import_tensorrt(engine, read_manifest(engine)).__name__

    return choose


@pytest.mark.parametrize(
    ("installed", "version_compatible", "expected"),
    [
        ({"tensorrt": VERSION}, False, "tensorrt"),
        ({"tensorrt": VERSION, "tensorrt_lean": VERSION, "tensorrt_dispatch": VERSION}, True, "tensorrt"),
        ({"tensorrt_dispatch": VERSION, "tensorrt_lean": VERSION}, True, "tensorrt_lean"),
        ({"tensorrt_dispatch": VERSION}, True, "tensorrt_dispatch"),
        ({"tensorrt": "11.0.0.1", "tensorrt_lean": VERSION}, True, "tensorrt_lean"),
    ],
)
def test_the_first_that_fits(
    chosen: Callable[..., str], installed: dict[str, str], version_compatible: bool, expected: str
) -> None:
    assert chosen(installed, version_compatible=version_compatible) == expected


def test_rtx_runs_the_engines_of_rtx_alone(chosen: Callable[..., str]) -> None:
    installed = {"tensorrt": VERSION, "tensorrt_rtx": "1.7.1.116"}
    assert chosen(installed, builder="tensorrt-rtx", builder_version="1.7.1.116") == "tensorrt_rtx"
    assert chosen({}) == "tensorrt"
    with pytest.raises(ModelError, match=r"by TensorRT-RTX 1\.7\.1\.120, but TensorRT-RTX 1\.7\.1\.116 is installed"):
        chosen({}, builder="tensorrt-rtx", builder_version="1.7.1.120")


@pytest.mark.parametrize("version", ["10.13.3.8", "11.0.0.1", "10.13"])
def test_another_version(chosen: Callable[..., str], version: str) -> None:
    with pytest.raises(ModelError, match=rf"by TensorRT 10\.13\.3\.9, but TensorRT {version} is installed here"):
        chosen({"tensorrt": version})


def test_none_is_installed(chosen: Callable[..., str]) -> None:
    with pytest.raises(DependencyError, match=r'10.13.3.9, which is not installed. .*"tensorrt==10.13.3.9".*JetPack'):
        chosen({})
    with pytest.raises(
        DependencyError, match=r'not installed. Install it: `pip install "tensorrt-rtx-cu13==1.7.1.116"`\.$'
    ):
        chosen({}, builder="tensorrt-rtx", builder_version="1.7.1.116")


@pytest.mark.parametrize("module", ["tensorrt_lean", "tensorrt_dispatch"])
def test_the_lean_runtime_does_not_run_ordinary_engines(chosen: Callable[..., str], module: str) -> None:
    with pytest.raises(DependencyError, match=r'"tensorrt==10.13.3.9".*lean and dispatch runtimes.*version-compatible'):
        chosen({module: VERSION})


def test_a_package_that_cannot_be_loaded(
    chosen: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "tensorrt.py").write_text("raise OSError('libnvinfer.so.10: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt")
    with pytest.raises(DependencyError, match=r"which cannot be loaded: libnvinfer.so.10: cannot open.*pip install"):
        chosen({})


def test_the_lean_library_of_the_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert lean_library("10.13.3.9") == "libnvinfer_lean.so.10"
    wheel = types.ModuleType("tensorrt_lean_libs")
    wheel.__spec__ = importlib.machinery.ModuleSpec("tensorrt_lean_libs", None, is_package=True)
    wheel.__spec__.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "tensorrt_lean_libs", wheel)
    assert lean_library("10.13.3.9") == "libnvinfer_lean.so.10"
    (tmp_path / "libnvinfer_lean.so.10").touch()
    assert lean_library("10.13.3.9") == str(tmp_path / "libnvinfer_lean.so.10")


def test_manifests_from_before_there_were_version_compatible_engines(
    write_model: Callable[..., Path], write_engine: Callable[..., Path]
) -> None:
    engine = write_engine(write_model(), version_compatible=True)
    assert tensorrt_settings(engine, read_manifest(engine)).version_compatible
    content = json.loads(manifest_path(engine).read_text(encoding="utf-8"))
    del content["checksum"], content["build"]["settings"]["version_compatible"]
    manifest_path(engine).write_text(json.dumps({**content, "checksum": _checksum(content)}), encoding="utf-8")
    assert not tensorrt_settings(engine, read_manifest(engine)).version_compatible
