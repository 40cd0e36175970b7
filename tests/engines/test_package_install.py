"""A package installs and runs without this repository: in a virtual environment that has its requirements alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskrt.engines.package import cli as package
from maskrt.plugins import libraries
from maskrt.runtime import infer


def make_environment(folder: Path, requirements: Path) -> Path:
    """A virtual environment that sees the required distributions of this one and what they require (as links), and no
    others. A requirement that is not installed here, as TensorRT may be, is taken out of the file.

    Returns:
        Its folder bin.
    """
    venv.create(folder, with_pip=False)
    (site,) = (folder / "lib").glob("python*/site-packages")
    lines = [line for line in requirements.read_text().splitlines() if is_installed(line.split("==")[0])]
    requirements.write_text("\n".join(lines))
    wanted, linked = [line.split("==")[0] for line in lines], set()
    while wanted:
        name = wanted.pop()
        if name in linked:
            continue
        linked.add(name)
        distribution = metadata.distribution(name)
        for top in {path.parts[0] for path in distribution.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(str(distribution.locate_file(top)))
        required = (re.split(r"[^\w.-]", line)[0] for line in distribution.requires or () if "extra ==" not in line)
        wanted += filter(is_installed, required)
    assert {"numpy", "opencv-python-headless", "onnxruntime"} <= linked
    assert not {"torch", "onnx", "polygraphy"} & linked
    return folder / "bin"


def is_installed(name: str) -> bool:
    try:
        return bool(metadata.version(name))
    except (metadata.PackageNotFoundError, ValueError):
        return False


def run(folder: Path, *command: object) -> subprocess.CompletedProcess[str]:
    """Runs a command in a folder, with nothing of this process's Python in its environment."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL", "MASKRT"))}
    words = [str(part) for part in command]
    return subprocess.run(words, cwd=folder, env=clean, capture_output=True, text=True, check=False, timeout=300)


def install(folder: Path, environment: Path) -> Path:
    """The README's two pip commands, without an index, so that what is missing is an error; returns the folder bin."""
    binaries = make_environment(environment, folder / "requirements.txt")
    (wheel,) = folder.glob("maskrt-*.whl")
    pip = (sys.executable, "-m", "pip", "--python", binaries / "python", "install", "--no-index")
    for arguments in (("-r", "requirements.txt"), (f"./{wheel.name}",)):
        installed = run(folder, *pip, *arguments)
        assert installed.returncode == 0, installed.stderr
    return binaries


IMPORT_ALL = """
import importlib, pkgutil, sys
import maskrt
OF_SERVE = {"starlette", "uvicorn", "prometheus_client", "python_multipart"}
names = [module.name for module in pkgutil.walk_packages(maskrt.__path__, "maskrt.")]
for name in names:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name.partition(".")[0] not in OF_SERVE:
            raise
print(*names)
print(maskrt.__file__)
print(*sorted({"torch", "onnx", "polygraphy"} & set(sys.modules)))
"""


def test_onnx_file_gives_the_results_of_the_repository(
    fake_plugins: Callable[..., Path],
    write_engine: Callable[..., Path],
    unpack: Callable[[Path], Path],
    small_keypoint_onnx: Path,
    tmp_path: Path,
) -> None:
    """Masks and keypoints, by ONNX Runtime; and the loader finds the plugin library in the wheel."""
    compiled = fake_plugins()
    folder = unpack(package.make_package(write_engine(tmp_path, small_keypoint_onnx), onnx=small_keypoint_onnx).path)
    shutil.rmtree(compiled)
    binaries = install(folder, tmp_path / "env")

    imported = run(folder, binaries / "python", "-c", IMPORT_ALL)
    assert imported.returncode == 0, imported.stderr
    names, where, foreign = imported.stdout.splitlines()
    ground_floor = {"cli", "command", "contract", "doctor", "errors", "files", "json_log", "options", "signals"}
    assert {name.split(".")[1] for name in names.split()} == {"runtime", "plugins", "terminal", *ground_floor}
    assert where.startswith(str(tmp_path))
    assert foreign == ""

    found = run(
        folder, binaries / "python", "-c", "from maskrt.plugins import loader; print(loader.plugin_library().path)"
    )
    assert Path(found.stdout.strip()).is_relative_to(tmp_path / "env"), found.stderr

    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(1).integers(0, 255, (120, 200, 3), np.uint8))
    options = ("--images", tmp_path / "a.png", "--threads", "1", "--score-threshold", "0.001")
    result = run(
        folder, binaries / "maskrt", "infer", small_keypoint_onnx.name, *options, "--output", tmp_path / "there"
    )
    assert result.returncode == 0, result.stderr
    assert infer.main([str(small_keypoint_onnx), *map(str, options), "--output", str(tmp_path / "here")]) == 0
    there, here = (json.loads((tmp_path / name / "instances.json").read_text()) for name in ("there", "here"))
    assert there == here
    assert len(here["annotations"]) > 0
    assert all({"segmentation", "keypoints"} <= record.keys() for record in here["annotations"])
    assert here["categories"][0]["keypoints"] == ["nose", "neck", "tail"]


@pytest.mark.gpu
def test_engine_gives_the_results_of_the_onnx_file(
    plugin_directory: Path,
    shapes_onnx: Path,
    photographs: dict[str, np.ndarray],
    unpack: Callable[[Path], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(libraries.DIRECTORY_VARIABLE, str(plugin_directory))
    engine = tmp_path / "model.engine"
    command = [sys.executable, "-m", "maskrt.engines", str(shapes_onnx), "--target=local", f"--output={engine}"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode == 2:
        pytest.skip(built.stderr)
    folder = unpack(package.make_package(engine, onnx=shapes_onnx).path)
    binaries = install(folder, tmp_path / "env")
    cv2.imwrite(str(tmp_path / "a.png"), photographs["coffee"][:, :, ::-1])
    labels = []
    for model in (engine.name, shapes_onnx.name):
        output = tmp_path / "results" / model
        result = run(folder, binaries / "maskrt", "infer", model, "--images", tmp_path / "a.png", "--output", output)
        assert result.returncode == 0, result.stderr
        labels.append(sorted(record["category_id"] for record in json.loads((output / "results.json").read_text())))
    assert labels[0] == labels[1]
