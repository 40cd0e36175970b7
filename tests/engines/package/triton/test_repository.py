"""The model repository: what is in it, and what stops it. Triton itself reads it in tests/runtime/triton."""

from __future__ import annotations

import errno
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from maskrt.contract.metadata import output_tensors, parse_metadata
from maskrt.contract.seal import read_metadata_properties
from maskrt.contract.tensors import input_tensors
from maskrt.engines import EngineError, files
from maskrt.engines.package import cli as package
from maskrt.engines.package.checksums import CHECKSUMS
from maskrt.engines.package.triton.repository import TritonOptions, make_repository
from maskrt.errors import ArgumentError, ModelError
from maskrt.plugins import libraries
from maskrt.runtime.backends.tensorrt.manifest import Profile
from maskrt.runtime.triton.engine import read_engine_metadata


@pytest.fixture
def engine(
    tmp_path: Path, fake_plugins: Callable[..., Path], write_engine: Callable[..., Path], skeleton_onnx: Path
) -> Path:
    """An engine of TensorRT whose plugin library is there."""
    fake_plugins()
    profile = Profile((1, 32, 32), (1, 64, 96), (8, 64, 128))
    return write_engine(tmp_path, skeleton_onnx, builder="tensorrt", builder_version="10.13.3.9", profile=profile)


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


COMMON = {"README.md", CHECKSUMS, "compose.yaml", "requirements.txt", "start.sh"}
FRONT = {"models/maskrt/config.pbtxt", "models/maskrt/1/model.py"}


def test_a_python_model_alone(write_model: Callable[..., Path]) -> None:
    model = write_model()
    folder, written = make_repository(model, None, TritonOptions())
    assert folder == model.with_name("model.triton")
    found = names_in(folder)
    assert found == set(written)
    (wheel,) = (name for name in found if name.endswith(".whl"))
    assert wheel.endswith("-py3-none-any.whl")
    assert found == {*COMMON, *FRONT, wheel, "models/maskrt/1/model.onnx"}
    assert (folder / "models/maskrt/1/model.onnx").read_bytes() == model.read_bytes()
    assert "onnxruntime==" in (folder / "requirements.txt").read_text()
    config = (folder / "models/maskrt/config.pbtxt").read_text()
    assert 'key: "model_file"\n  value {\n    string_value: "model.onnx"' in config
    assert "max_batch_size: 8\n" in config and "count: 1\n" in config
    assert re.findall(r"dims: \[(\d+), (\d+), 3\]", config) == [("480", "640")] * 2
    assert f'"$here/{wheel}"' in (folder / "start.sh").read_text()
    assert "--gpus" not in (folder / "README.md").read_text()
    assert (folder.stat().st_mode & 0o777) == 0o755
    subprocess.run(["sh", "-n", "start.sh"], cwd=folder, check=True)
    subprocess.run(["sha256sum", "--check", "--quiet", CHECKSUMS], cwd=folder, check=True)


def test_an_engine_model_of_onnx_runtime(write_model: Callable[..., Path]) -> None:
    model = write_model(input_type=onnx.TensorProto.FLOAT)
    options = TritonOptions("onnxruntime", batch_size=2, instances=3, warm_up=((64, 80),))
    folder, _ = make_repository(model, model.with_name("served"), options)
    engine = folder / "models" / "maskrt_engine"
    assert (engine / "1" / "model.onnx").read_bytes() == model.read_bytes()
    metadata, dtype = read_engine_metadata(folder / "models/maskrt/1/metadata.json")
    assert metadata == parse_metadata(read_metadata_properties(model), "") and dtype == np.float32
    config = (engine / "config.pbtxt").read_text()
    for tensor in (*input_tensors(dtype), *output_tensors(metadata)):
        assert f'name: "{tensor.name}"\n' in config
    assert "dims: [1]\n  reshape {\n    shape: []" in config
    assert "max_batch_size: 2\n" in config and 'backend: "onnxruntime"' in config
    assert np.frombuffer((engine / "warmup" / "score_threshold_64x80").read_bytes(), np.float32) == [
        metadata.score_threshold
    ]
    front = (folder / "models/maskrt/config.pbtxt").read_text()
    assert "model_warmup" not in front and "model_file" not in front and "count: 3\n" in front
    assert "onnxruntime" not in (folder / "requirements.txt").read_text()
    assert "plugins" not in (folder / "start.sh").read_text()


def test_an_engine_of_tensorrt(engine: Path) -> None:
    folder, _ = make_repository(engine, None, TritonOptions(warm_up=()))
    assert folder == engine.with_name("model.rtx4090.triton")
    assert (folder / "models/maskrt_engine/1/model.plan").read_bytes() == engine.read_bytes()
    assert names_in(folder / "plugins") == {libraries.PLUGINS, libraries.AUTOLOAD}
    assert f'tensorrt,plugins="$here/plugins/{libraries.AUTOLOAD}"' in (folder / "start.sh").read_text()
    assert "tensorrt" not in (folder / "requirements.txt").read_text()
    assert "a Triton image with TensorRT 10.13.3.9" in (folder / "README.md").read_text()
    compose = (folder / "compose.yaml").read_text()
    assert "${TRITON_IMAGE:?set it to a Triton image with TensorRT 10.13.3.9}" in compose and "[gpu]" in compose
    subprocess.run(["sh", "-n", "start.sh"], cwd=folder, check=True)


def test_the_same_files_the_same_bytes(write_model: Callable[..., Path]) -> None:
    model = write_model()
    first, second = (make_repository(model, model.with_name(name), TritonOptions())[0] for name in ("a", "b"))
    assert names_in(first) == names_in(second)
    for name in names_in(first):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"engine": "onnxruntime"}, "--triton-engine onnxruntime does not run .*, an engine of TensorRT"),
        ({"batch_size": 9}, "--batch-size 9: the engine was built for batches of 1 to 8"),
        (
            {"warm_up": ((64, 64), (200, 100))},
            "--warm-up 200x100: the engine takes no such pictures, but canvases .* from 1x32x32 to 8x64x128",
        ),
    ],
    ids=["engine", "batch", "warm-up"],
)
def test_options_that_do_not_fit_an_engine(engine: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ArgumentError, match=sentence):
        make_repository(engine, None, TritonOptions(**options))
    assert not engine.with_name("model.rtx4090.triton").exists()


def test_engines_that_triton_does_not_run(
    tmp_path: Path, fake_plugins: Callable[..., Path], write_engine: Callable[..., Path], skeleton_onnx: Path
) -> None:
    fake_plugins()
    engine = write_engine(tmp_path, skeleton_onnx)
    with pytest.raises(ArgumentError, match="was built by tensorrt-rtx, which Triton does not run"):
        make_repository(engine, None, TritonOptions())
    with pytest.raises(ArgumentError, match=r"serves an engine, but .* is an ONNX file"):
        make_repository(skeleton_onnx, None, TritonOptions("tensorrt"))


def test_folders_that_cannot_be_written(
    write_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_model()
    with pytest.raises(ArgumentError, match="it is there already"):
        make_repository(model, model, TritonOptions())
    with pytest.raises(ArgumentError, match="there is no folder"):
        make_repository(model, tmp_path / "no" / "folder", TritonOptions())
    (tmp_path / "empty").mkdir()
    make_repository(model, tmp_path / "empty", TritonOptions())
    with pytest.raises(ArgumentError, match="Remove it"):
        make_repository(model, tmp_path / "empty", TritonOptions())
    monkeypatch.setattr(files, "_write", lambda path, data: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    before = set(tmp_path.iterdir())
    with pytest.raises(EngineError, match="No room for"):
        make_repository(model, tmp_path / "other", TritonOptions())
    assert set(tmp_path.iterdir()) == before


def test_damaged_metadata_of_an_engine_model(tmp_path: Path) -> None:
    path = tmp_path / "metadata.json"
    for content in (
        None,
        b"{",
        b"[]",
        b'{"properties": {}}',
        b'{"properties": {}, "image_type": "x"}',
    ):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ModelError, match=r"missing or damaged\. Write the repository anew"):
            read_engine_metadata(path)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--triton-engine", "none"], "--triton-engine goes with --format triton."),
        (["--batch-size", "2"], "--batch-size goes with --format triton."),
        (["--warm-up", "64x64"], "--warm-up goes with --format triton."),
        (["--format", "triton", "--onnx", "model.onnx"], "--onnx goes with --format archive"),
    ],
    ids=["engine", "batch", "warm-up", "onnx"],
)
def test_options_of_the_other_format(
    write_model: Callable[..., Path], arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert package.main([str(write_model()), *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_the_command(write_model: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    model = write_model()
    assert package.main([str(model), "--format", "triton", "--instances", "2"]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].startswith(f"{model.with_name('model.triton')}: ")
    assert printed.endswith(f"To start it: as {model.with_name('model.triton') / 'README.md'} says.\n")
    assert package.main([str(model), "--format", "triton"]) == 2
    assert "it is there already" in capsys.readouterr().err
    assert package.main(["model.txt", "--format", "triton"]) == 2
    assert "expected a file that ends in .onnx" in capsys.readouterr().err
