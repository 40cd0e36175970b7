"""`make dist`: what it makes installs and runs where there is no checkout."""

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import maskrt
from maskrt.tools import make_dist

pytest.importorskip("setuptools", reason="setuptools is not installed, which makes distributions")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def dist(once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """The folder that `make dist` fills."""
    return once("dist", lambda folder: make_dist.main(["--output", str(folder)]))


def sources() -> set[str]:
    """Names of the package's files in the checkout."""
    package = ROOT / "src" / "maskrt"
    folders = [package, *(path.resolve() for path in package.iterdir() if path.is_symlink())]
    names = {folder: path.name for path in package.iterdir() if path.is_symlink() for folder in [path.resolve()]}
    return {
        "/".join(("maskrt", *([names[folder]] if folder in names else []), *path.relative_to(folder).parts))
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not any(p.is_symlink() for p in path.parents)
    }


def test_names(dist: Path) -> None:
    stem = f"maskrt-{maskrt.__version__}"
    assert {path.name for path in dist.iterdir()} == {f"{stem}.tar.gz", f"{stem}-py3-none-any.whl"}


def test_wheel_holds_the_whole_package(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("maskrt/")}
        (text,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith("entry_points.txt"))
    assert held == sources()
    assert "maskrt = maskrt.cli:main" in text
    (source,) = dist.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {"/".join(Path(name).parts[1:]) for name in archive.getnames()}
    assert {"README.md", "LICENSE", "pyproject.toml", "src/maskrt/py.typed"} <= names
    assert {f"src/{name}" for name in held} <= names


def test_it_installs_and_runs_in_an_empty_folder(dist: Path, write_model: Callable[..., Path], tmp_path: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    installed, work, model = tmp_path / "installed", tmp_path / "work", write_model("model.onnx")
    work.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MASKRT"))}
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(installed)]
    subprocess.run([*pip, str(wheel)], check=True, env=environment, cwd=work)

    def run(*words: str) -> str:
        ended = subprocess.run(
            [sys.executable, *words],
            capture_output=True,
            text=True,
            cwd=work,
            env={**environment, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"},
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    assert run("-c", "import maskrt; print(maskrt.__file__)").startswith(str(installed))
    assert run(str(installed / "bin" / "maskrt"), "--version") == f"maskrt {maskrt.__version__}\n"
    assert "rtx4090" in run("-m", "maskrt.cli", "targets")
    assert "usage: " in run("-m", "maskrt.cli", "export", "--help")
    picture = str(ROOT / "docs" / "figures" / "scene.jpg")
    run("-m", "maskrt.cli", "infer", str(model), "--images", picture, "--output", "out")
    assert (work / "out" / "instances.json").is_file()


def test_what_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert make_dist.main(["--output", str(tmp_path / "file" / "dist")]) == 2
    assert "Cannot write to" in capsys.readouterr().err


def test_setuptools_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_dist, "_BUILD", "raise SystemExit('no such thing')")
    assert make_dist.main(["--output", str(tmp_path)]) == 2
    assert list(tmp_path.iterdir()) == []


def test_outside_of_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(make_dist, "ROOT", tmp_path)
    assert make_dist.main(["--output", str(tmp_path / "dist")]) == 2
    assert "is no checkout of maskrt" in capsys.readouterr().err
