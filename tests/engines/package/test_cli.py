"""The edge package: what is in it, and what stops it."""

from __future__ import annotations

import errno
import io
import os
import re
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from maskrt.contract.manifest import manifest_path
from maskrt.engines import files
from maskrt.engines.package import cli as package
from maskrt.engines.package import tensorrt as package_tensorrt
from maskrt.plugins import libraries

PLUGINS = (libraries.PLUGINS, libraries.AUTOLOAD, libraries.RTX_SHIM)
WHEEL = re.compile(r"maskrt-[\d.]+-py3-none-(any|linux_\w+)\.whl")


@pytest.fixture
def engine(
    tmp_path: Path, fake_plugins: Callable[..., Path], write_engine: Callable[..., Path], skeleton_onnx: Path
) -> Path:
    """An engine whose plugin library is there."""
    fake_plugins()
    return write_engine(tmp_path, skeleton_onnx)


def check_sums(folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["sha256sum", "--check", "--quiet", package.CHECKSUMS]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def wheel_in(folder: Path) -> Path:
    (wheel,) = (path for path in folder.iterdir() if WHEEL.fullmatch(path.name))
    return wheel


def test_what_is_in_it(engine: Path, skeleton_onnx: Path, tmp_path: Path, unpack: Callable[[Path], Path]) -> None:
    written = package.make_package(engine, tmp_path / "edge.tar.gz", onnx=skeleton_onnx)
    folder = unpack(written.path)
    assert folder.name == "edge"
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert {f"edge/{name}": path.stat().st_size for name, path in found.items()} == dict(written.files)
    for source in (engine, manifest_path(engine), skeleton_onnx):
        assert found.pop(source.name).read_bytes() == source.read_bytes()
    wheel = wheel_in(folder)
    assert wheel.name.endswith(".whl") and not wheel.name.endswith("-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        for name in PLUGINS:
            content = (libraries.directory() / name).read_bytes()
            assert found.pop(f"plugins/{name}").read_bytes() == content
            assert archive.read(f"maskrt/plugins/lib/{name}") == content
    assert set(found) == {"README.md", "requirements.txt", package.CHECKSUMS, wheel.name}
    assert "tensorrt-rtx-cu13==1.7.1.116\n" in found["requirements.txt"].read_text()
    readme = found["README.md"].read_text()
    assert f"pip install ./{wheel.name}\n" in readme
    assert f"    maskrt infer {engine.name} --images photos/" in readme
    assert "For rtx4090 (compute capability 8.9), fp16." in readme
    assert len(readme.splitlines()) <= 15


def test_same_files_same_bytes(engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = []
    for name, now in (("first", 1_000_000_000), ("second", 1_700_000_000)):
        folder = tmp_path / name
        folder.mkdir()
        for path in (engine, manifest_path(engine), *(libraries.directory() / name for name in PLUGINS)):
            os.utime(path, (now, now))
        with monkeypatch.context() as patch:
            patch.setattr("time.time", lambda now=now: now)
            packages.append(package.make_package(engine, folder / "edge.tar.gz").path.read_bytes())
    assert packages[0] == packages[1]


def test_every_damaged_file_is_found(engine: Path, skeleton_onnx: Path, unpack: Callable[[Path], Path]) -> None:
    archive = package.make_package(engine, onnx=skeleton_onnx).path
    folder = unpack(archive)
    assert check_sums(folder).returncode == 0
    for path in folder.rglob("*"):
        if path.is_dir() or path.name == package.CHECKSUMS:
            continue
        content = path.read_bytes()
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        result = check_sums(folder)
        assert result.returncode == 1
        assert result.stdout == f"{path.relative_to(folder).as_posix()}: FAILED\n"
        path.write_bytes(content)
    assert check_sums(folder).returncode == 0


def test_for_a_jetson(
    fake_plugins: Callable[..., Path],
    write_engine: Callable[..., Path],
    skeleton_onnx: Path,
    unpack: Callable[[Path], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake_plugins(cuda=12060, architectures="87-real")
    build = {"target": "local", "compute_capability": "8.7", "builder": "tensorrt", "builder_version": "10.3.0"}
    engine = write_engine(tmp_path, skeleton_onnx, **build)
    monkeypatch.setattr(package_tensorrt.platform, "machine", lambda: "aarch64")
    folder = unpack(package.make_package(engine).path)
    requirements = (folder / "requirements.txt").read_text()
    assert "cuda-bindings==12." in requirements
    assert "# TensorRT 10.3.0 comes with JetPack.\n" in requirements
    assert not re.search("^tensorrt", requirements, re.MULTILINE)
    assert "venv --system-site-packages env" in (folder / "README.md").read_text()
    assert {path.name for path in (folder / "plugins").iterdir()} == {libraries.PLUGINS, libraries.AUTOLOAD}


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Runs the command, which must refuse; returns what it says."""
    assert package.main([str(argument) for argument in arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("maskrt package: ")
    assert output.err.count("\n") == 1
    return output.err


@pytest.mark.parametrize(
    ("facts", "build", "message"),
    [
        ({"version": "0.0.1"}, {}, r"is of maskrt 0\.0\.1, but this is maskrt .* `make plugins`"),
        ({}, {"plugin_version": "9.9.9"}, r"was built with plugin library 9\.9\.9, but .* is installed here"),
        ({"tensorrt_headers": None}, {}, r"built without TensorRT headers .*TENSORRT_INCLUDE"),
        ({"architectures": "75-real"}, {}, r"no code for rtx4090 \(compute capability 8\.9\): it has 75-real"),
        ({"cuda": 11080}, {}, r"compiled with CUDA 11, but .* for CUDA 12 and 13"),
        (
            {"architectures": "87"},
            {"target": "jetson-orin", "compute_capability": "8.7"},
            r"whose CPU is aarch64, .* Run `maskrt package` on the device",
        ),
    ],
)
def test_plugin_library_that_does_not_fit(
    facts: dict[str, Any],
    build: dict[str, str],
    message: str,
    fake_plugins: Callable[..., Path],
    write_engine: Callable[..., Path],
    skeleton_onnx: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(package_tensorrt.platform, "machine", lambda: "x86_64")
    fake_plugins(**facts)
    engine = write_engine(tmp_path, skeleton_onnx, **build)
    assert re.search(message, refused(capsys, engine))
    assert not list(tmp_path.glob("*.tar.gz"))


def test_files_that_are_missing_or_do_not_belong(
    engine: Path, skeleton_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "there is no such file. `maskrt engine`" in refused(capsys, tmp_path / "none.engine")
    assert "there is no such file. `maskrt export`" in refused(capsys, tmp_path / "none.onnx")
    for other in (tmp_path / "model.pth", tmp_path, "."):
        assert "expected a file that ends in .onnx, .engine or .openvino.xml" in refused(capsys, other)
    assert "expected a file that ends in .onnx, by which" in refused(capsys, engine, "--onnx", engine)
    assert "is an ONNX file already" in refused(capsys, skeleton_onnx, "--onnx", skeleton_onnx)
    other = tmp_path / "other.onnx"
    other.write_bytes(skeleton_onnx.read_bytes() + b"\0")
    assert "was built from another ONNX file" in refused(capsys, engine, "--onnx", other)
    foreign = onnx.helper.make_model(onnx.helper.make_graph([], "foreign", [], []))
    onnx.save(foreign, other)
    assert "is not a maskrt model" in refused(capsys, other)
    (libraries.directory() / libraries.AUTOLOAD).unlink()
    assert "libmaskrt_autoload.so does not exist. Run `make plugins`" in refused(capsys, engine)
    (libraries.directory() / libraries.PLUGINS).unlink()
    assert "libmaskrt_plugins.so does not exist. Run `make plugins`" in refused(capsys, engine)
    with engine.open("r+b") as file:
        file.truncate(10)
    assert "is truncated" in refused(capsys, engine)
    manifest_path(engine).unlink()
    assert "has no manifest" in refused(capsys, engine)
    assert not list(tmp_path.rglob("*.tar.gz*"))


def test_where_it_cannot_be_written(
    engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "must have a name and end in .tar.gz" in refused(capsys, engine, "--output", tmp_path / "edge.zip")
    assert "must have a name and end in .tar.gz" in refused(capsys, engine, "--output", tmp_path / ".tar.gz")
    assert "there is no folder" in refused(capsys, engine, "--output", tmp_path / "missing" / "edge.tar.gz")
    output = tmp_path / "out" / "edge.tar.gz"
    output.mkdir(parents=True)
    assert "it is a folder" in refused(capsys, engine, "--output", output)
    output.rmdir()

    def full_disk(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full_disk)
    assert "No room for" in refused(capsys, engine, "--output", output)
    assert list(output.parent.iterdir()) == []


def test_package_of_an_onnx_file_alone(
    skeleton_onnx: Path, unpack: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "edge.tar.gz"
    assert package.main([str(skeleton_onnx), "--output", str(output)]) == 0
    said = capsys.readouterr().out
    assert "On the device: tar xf edge.tar.gz, then as edge/README.md says." in said
    folder = unpack(output)
    wheel = wheel_in(folder)
    assert wheel.name.endswith("-none-any.whl")
    names = {skeleton_onnx.name, "README.md", "requirements.txt", package.CHECKSUMS, wheel.name}
    assert {path.name for path in folder.iterdir()} == names
    assert "onnxruntime==" in (folder / "requirements.txt").read_text()
    assert "cuda" not in (folder / "requirements.txt").read_text()


def test_names_that_a_shell_would_split_are_quoted(
    skeleton_onnx: Path, unpack: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "my model.onnx"
    model.write_bytes(skeleton_onnx.read_bytes())
    assert package.main([str(model)]) == 0
    assert "tar xf 'my model.tar.gz', then" in capsys.readouterr().out
    readme = (unpack(tmp_path / "my model.tar.gz") / "README.md").read_text()
    assert "    maskrt infer 'my model.onnx' --images photos/" in readme


def test_tar_of_any_names_and_sizes() -> None:
    """Names longer than 100 characters, empty files; nothing of the user or the day."""
    contents = {"folder/" + "n" * 150: b"x", "folder/empty": b"", "folder/a": b"y" * 3000}
    with tarfile.open(fileobj=io.BytesIO(package.archive(contents))) as tar:
        members = tar.getmembers()
        assert [member.name for member in members] == sorted(contents)
        assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {(0, 0, "", "", 315532800)}
        assert {name: tar.extractfile(name).read() for name in contents} == contents  # type: ignore[union-attr]
