"""The build command."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from maskrt.plugins import abi, build, build_progress, libraries


def test_host_only_builds_one_library(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["--host-only", "--architectures", "89-real", "--output", str(tmp_path)]) == 0
    assert "89-real" in (tmp_path / "CMakeCache.txt").read_text()
    capsys.readouterr()
    assert build.main(["--host-only", "--output", str(tmp_path)]) == 0
    assert "89-real" not in (tmp_path / "CMakeCache.txt").read_text()  # an earlier build's choice is not kept
    assert capsys.readouterr().out == f"{tmp_path / libraries.HOST}\n"
    assert (tmp_path / libraries.HOST).is_file()
    assert not (tmp_path / libraries.PLUGINS).exists()
    assert libraries.open_library(tmp_path / libraries.HOST).maskrt_abi_version() == abi.ABI_VERSION


def test_default_folder_is_where_the_loader_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(libraries.DIRECTORY_VARIABLE, raising=False)
    assert libraries.directory() == Path(__file__).resolve().parents[2] / "build" / "plugins"


def test_missing_cmake(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert build.main(["--host-only"]) == 1
    assert "cmake was not found. Install it" in capsys.readouterr().err


def test_missing_nvcc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CUDACXX", str(tmp_path / "nvcc"))
    assert build.main(["--output", str(tmp_path / "build")]) == 1
    assert "nvcc" in capsys.readouterr().err


def test_folder_without_tensorrt_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], plugin_directory: Path
) -> None:
    monkeypatch.setenv("TENSORRT_INCLUDE", str(tmp_path))
    assert build.main(["--output", str(tmp_path / "build"), "--architectures", "89-real"]) == 1
    assert f"TENSORRT_INCLUDE is {tmp_path}" in " ".join(capsys.readouterr().err.split())


def test_headers_of_an_old_tensorrt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], plugin_directory: Path
) -> None:
    """Also where an earlier build in the same folder had others: TENSORRT_INCLUDE is what counts."""
    for version in (7, 8):
        include = tmp_path / str(version)
        include.mkdir()
        (include / "NvInferRuntime.h").touch()
        (include / "NvInferVersion.h").write_text(f"#define NV_TENSORRT_MAJOR {version}\n")
        monkeypatch.setenv("TENSORRT_INCLUDE", str(include))
        assert build.main(["--output", str(tmp_path / "build"), "--architectures", "89-real"]) == 1
        message = " ".join(capsys.readouterr().err.split())
        assert f"are of TensorRT {version}; the plugins need TensorRT 10 or newer" in message


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("terminal", "first"), [(True, 0.2), (False, 10.0)])
def test_progress(monkeypatch: pytest.MonkeyPatch, terminal: bool, first: float) -> None:
    """The lines are make's, and ninja's; a terminal has one that is redrawn."""
    clock = [0.0]
    monkeypatch.setattr(build_progress.time, "monotonic", lambda: clock[0])
    stream = _Terminal() if terminal else io.StringIO()
    progress = build_progress.BuildProgress(stream)
    progress.show()
    assert stream.getvalue() == ""
    clock[0] = first
    progress.show()
    assert stream.getvalue().endswith(f"compiling  {first:.0f} s  configuring" + ("" if terminal else "\n"))
    for said, shown in (
        ("[ 42%] Building CUDA object kernels/CMakeFiles/kernels.dir/proposals.cu.o", "42% kernels.dir/proposals.cu.o"),
        ("-- nothing of note", "42% kernels.dir/proposals.cu.o"),
        ("[7/30] Linking CXX shared library libmaskrt_host.so", "7/30 Linking CXX shared library libmaskrt_host.so"),
    ):
        progress.take(f"{said}\n")
        clock[0] += 20
        progress.show()
        assert shown in stream.getvalue().splitlines()[-1].rpartition("compiling")[2]
    progress.close()
    assert stream.getvalue().endswith("\r\033[K") is terminal


def test_a_build_tells_its_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_progress, "_REDRAW_SECONDS", 0.0)
    monkeypatch.setattr(build, "_SHOW_SECONDS", 0.05)
    stream = _Terminal()
    build.build(tmp_path, host_only=True, stream=stream)
    assert "configuring" in stream.getvalue()
    assert "%" in stream.getvalue() or "/" in stream.getvalue()  # make's, or ninja's
