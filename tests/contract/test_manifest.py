"""The manifest of an engine: written, read, and every mismatch said with both sides and what mends it."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskrt.contract.manifest import (
    BuildInputs,
    EngineFile,
    Manifest,
    Tensor,
    check_engine_files,
    check_onnx,
    manifest_path,
    read_manifest,
)
from maskrt.runtime import ModelError

from ..support.model_metadata import metadata_values

ENGINE, ONNX = b"12345", b"123456789"
REBUILD = "`maskrt engine model.onnx --target rtx4090`"


@pytest.fixture
def manifest(build_inputs: Callable[..., BuildInputs]) -> Manifest:
    """The manifest of an engine of five bytes, b"12345"."""
    return Manifest(
        files={".engine": EngineFile(5, "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5")},
        build=build_inputs(
            onnx_sha256="15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",  # of b"123456789"
            builder="tensorrt-rtx",
            builder_version="1.7.1.116",
        ),
        inputs=(Tensor("images", "uint8", (-1, -1, -1, 3)),),
        outputs=(Tensor("num_detections", "int32", (-1,)),),
        plugin_layers={"DetectionOutput": 1, "GenerateProposals": 1, "MultilevelRoIAlign": 2},
        model=metadata_values(min_size=256, max_size=448, class_names=["__background__", "größe"]),
    )


@pytest.fixture
def engine(manifest: Manifest, tmp_path: Path) -> Path:
    """An engine file with its manifest."""
    path = tmp_path / "model.engine"
    path.write_bytes(ENGINE)
    manifest_path(path).write_text(manifest.to_json(), encoding="utf-8")
    return path


def rewrite(engine: Path, **changes: Any) -> None:
    """Changes fields of the manifest file, checksum and all, as another version of maskrt would write it."""
    from maskrt.contract.manifest import _checksum

    content = json.loads(manifest_path(engine).read_text(encoding="utf-8"))
    del content["checksum"]
    content.update(changes)
    manifest_path(engine).write_text(json.dumps({**content, "checksum": _checksum(content)}), encoding="utf-8")


def test_what_is_written_is_read(engine: Path, manifest: Manifest) -> None:
    assert read_manifest(engine) == manifest
    assert read_manifest(engine).build.onnx_file == "model.onnx"
    assert read_manifest(engine).metadata("model.engine").class_names == ("__background__", "größe")


def test_the_text_is_the_same_for_the_same_manifest(manifest: Manifest) -> None:
    assert manifest.to_json() == dataclasses.replace(manifest).to_json()
    assert str(Path.cwd()) not in manifest.to_json()


def test_renaming_the_onnx_file_changes_no_input(manifest: Manifest) -> None:
    assert dataclasses.replace(manifest.build, onnx_file="b.onnx") == manifest.build
    assert dataclasses.replace(manifest.build, onnx_sha256="b") != manifest.build


def test_everything_fits(engine: Path, manifest: Manifest, tmp_path: Path) -> None:
    onnx = tmp_path / "model.onnx"
    onnx.write_bytes(ONNX)
    check_engine_files(engine, manifest)
    check_onnx(engine, manifest, onnx)


def test_truncated_engine(engine: Path, manifest: Manifest) -> None:
    engine.write_bytes(ENGINE[:3])
    with pytest.raises(ModelError, match=rf"model.engine is truncated: it has 3 bytes, but 5 were built.*{REBUILD}"):
        check_engine_files(engine, manifest)


@pytest.mark.parametrize("content", [b"12346", b"123456"])
def test_edited_engine(engine: Path, manifest: Manifest, content: bytes) -> None:
    engine.write_bytes(content)
    with pytest.raises(ModelError, match=rf"SHA-256 is .*…, but 5994471abb01… was built.*edited.*{REBUILD}"):
        check_engine_files(engine, manifest)


def test_an_engine_of_two_files(manifest: Manifest, tmp_path: Path) -> None:
    """They differ in the suffix; damage to either is noticed."""
    engine, weights = tmp_path / "model.openvino.xml", tmp_path / "model.openvino.bin"
    contents = {engine: b"<net/>", weights: bytes(1000)}
    files = {path.suffix: EngineFile.of(content) for path, content in contents.items()}
    manifest = dataclasses.replace(manifest, files=files)
    for path, content in contents.items():
        path.write_bytes(content)
    manifest_path(engine).write_text(manifest.to_json(), encoding="utf-8")
    assert read_manifest(engine) == manifest
    assert manifest.paths(engine) == (engine, weights)
    check_engine_files(engine, manifest)
    weights.write_bytes(bytes(999))
    with pytest.raises(ModelError, match=r"model\.openvino\.bin is truncated: it has 999 bytes, but 1,000 were built"):
        check_engine_files(engine, manifest)
    weights.write_bytes(bytes(999) + b"1")
    with pytest.raises(ModelError, match=r"model\.openvino\.bin is not the file .*Copy it and model\.openvino\.xml"):
        check_engine_files(engine, manifest)
    weights.unlink()
    with pytest.raises(ModelError, match=r"model\.openvino\.bin cannot be read: No such file"):
        check_engine_files(engine, manifest)


def test_the_shape_of_a_tensor_follows_from_the_canvas() -> None:
    assert Tensor("images", "uint8", (-1, -1, -1, 3)).at((2, 64, 96)) == (2, 64, 96, 3)
    assert Tensor("masks", "float32", (-1, 40, 28, 28)).at((2, 64, 96)) == (2, 40, 28, 28)


def test_engine_that_vanished(engine: Path, manifest: Manifest) -> None:
    engine.unlink()
    with pytest.raises(ModelError, match=r"model.engine cannot be read: No such file"):
        check_engine_files(engine, manifest)


def test_another_onnx_file(engine: Path, manifest: Manifest, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(b"other")
    with pytest.raises(
        ModelError, match=r"another ONNX file \(model.onnx, .* than .*other.onnx.*maskrt engine .*other.onnx"
    ):
        check_onnx(engine, manifest, other)
    with pytest.raises(ModelError, match=r"missing.onnx cannot be read"):
        check_onnx(engine, manifest, tmp_path / "missing.onnx")


def test_no_engine_and_no_manifest(engine: Path, tmp_path: Path) -> None:
    manifest_path(engine).unlink()
    with pytest.raises(ModelError, match=r"has no manifest: model.engine.json should lie beside it"):
        read_manifest(engine)
    with pytest.raises(ModelError, match=r"no such file. `maskrt engine` or `make engine`"):
        read_manifest(tmp_path / "missing.engine")
    with pytest.raises(ModelError, match=r"cannot be read: File name too long|no such file"):
        read_manifest(tmp_path / ("x" * 300 + ".engine"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is not JSON"),
        (b"\xff\xfe", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b'{"format": "\\ud800"}', "it is not JSON"),
        (b"[]", "not the manifest of an engine"),
        (b'{"format": "1"}', "not the manifest of an engine"),
        (b'{"format": 2}', "checksum"),
        (b" " * 2_000_000, "larger than 1,048,576 bytes"),
    ],
)
def test_damaged_manifest(engine: Path, content: bytes, message: str) -> None:
    manifest_path(engine).write_bytes(content)
    with pytest.raises(ModelError, match=rf"model.engine.json.*{message}"):
        read_manifest(engine)


def test_manifest_of_a_newer_maskrt(engine: Path) -> None:
    rewrite(engine, format=3)
    with pytest.raises(ModelError, match=r"of format 3, from a newer maskrt; .* reads format 2.*pip install --upgrade"):
        read_manifest(engine)


def test_manifest_of_an_older_maskrt(engine: Path) -> None:
    rewrite(engine, format=1)
    with pytest.raises(ModelError, match=r"of format 1, from an older maskrt; .*format 2.*`maskrt export`.*engine"):
        read_manifest(engine)


@pytest.mark.parametrize(
    "changes",
    [{"build": {}}, {"inputs": 3}, {"model": None}, {"outputs": [{"name": "boxes"}]}]
    + [{"files": files} for files in ({}, 7, {".plan": {"size": 5, "sha256": "0"}}, {".engine": {"size": 5}})]
    + [{"files": {".engine": {"size": size, "sha256": "0"}}} for size in ("many", float("inf"), None)]
    + [{"files": {".engine": {"size": 5, "sha256": "0"}, "/../x.bin": {"size": 5, "sha256": "0"}}}]
    + [{"plugin_layers": {"DetectionOutput": float("inf")}}],
)
def test_fields_that_are_not_a_manifests(engine: Path, changes: dict[str, Any]) -> None:
    rewrite(engine, **changes)
    with pytest.raises(ModelError, match=r"damaged or was edited: its fields are not those of a manifest"):
        read_manifest(engine)


@pytest.mark.parametrize(
    "changes",
    [{"builder_version": None}, {"target": 7}, {"settings": 3}, {"surprise": 1}],
)
def test_build_inputs_of_another_type(engine: Path, manifest: Manifest, changes: dict[str, Any]) -> None:
    rewrite(engine, build={**dataclasses.asdict(manifest.build), **changes})
    with pytest.raises(
        ModelError, match=r"its fields are not those of a manifest \((builder_version|target|'int'|.*'surprise')"
    ):
        read_manifest(engine)


def test_any_edit_is_noticed(engine: Path, manifest: Manifest, rng: np.random.Generator) -> None:
    """One changed byte gives an error, or the very same manifest (in white space)."""
    path = manifest_path(engine)
    original = path.read_bytes()
    noticed = 0
    for _ in range(300):
        data = bytearray(original)
        data[rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(data)
        try:
            assert read_manifest(engine) == manifest
        except ModelError:
            noticed += 1
    assert noticed > 100
