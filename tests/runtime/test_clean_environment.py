"""The runtime needs NumPy, OpenCV and ONNX Runtime, and nothing else."""

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]

# Runs the code behind it with every module outside of the standard library and a few names out of reach.
ONLY = """
import sys

class Only:
    def __init__(self, allowed):
        self.allowed = {*sys.stdlib_module_names, *allowed}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in self.allowed:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Only(ALLOWED))
"""


def run_with_only(allowed: set[str], code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = ONLY.replace("ALLOWED", repr(allowed)) + code
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_the_blocker_blocks() -> None:
    """The negative control of the tests below."""
    assert "No module named 'torch'" in run_with_only({"maskrt", "numpy", "cv2"}, "import torch").stderr


@pytest.mark.parametrize("module", ["", ".infer", ".draw"])
def test_imports_with_numpy_and_opencv_alone(module: str) -> None:
    result = run_with_only({"maskrt", "numpy", "cv2"}, f"import maskrt.runtime{module}")
    assert result.returncode == 0, result.stderr


def test_runs_with_onnx_runtime_beside_them(write_model: Callable[..., Path], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), np.full((60, 80, 3), 90, np.uint8))
    result = run_with_only(
        {"maskrt", "numpy", "cv2", "onnxruntime"},
        "from maskrt.runtime.infer import main; sys.exit(main())",
        *(str(write_model()), "--images", str(tmp_path / "a.jpg"), "--output", str(tmp_path / "out")),
    )
    assert result.returncode == 0, result.stderr
    assert len(json.loads((tmp_path / "out" / "results.json").read_text())) == 2


def test_without_onnx_runtime_the_message_names_the_cure(write_model: Callable[..., Path]) -> None:
    result = run_with_only(
        {"maskrt", "numpy", "cv2"},
        "from maskrt.runtime.infer import main; sys.exit(main())",
        *(str(write_model()), "--images", str(ROOT / "README.md")),
    )
    assert result.returncode == 2
    assert "pip install maskrt[cpu]" in result.stderr
    assert "Traceback" not in result.stderr


def test_start_takes_less_than_half_a_second() -> None:
    """One of several starts, in processor time, so that a busy machine does not decide."""
    code = "import time; import maskrt.runtime.infer; print(time.process_time())"

    def seconds() -> float:
        return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)

    assert any(seconds() < 0.5 for _ in range(5))


@pytest.mark.slow
def test_in_a_fresh_virtual_environment(write_model: Callable[..., Path], tmp_path: Path) -> None:
    """`pip install maskrt[cpu]` of this source tree brings all that `maskrt infer` needs, and no torch."""
    source = tmp_path / "source"
    source.mkdir()
    for entry in ROOT.iterdir():
        if entry.suffix in (".toml", ".md") or entry.name in ("LICENSE", "src") or (entry / "__init__.py").exists():
            if entry.is_dir():
                shutil.copytree(entry, source / entry.name, symlinks=True)
            else:
                shutil.copy(entry, source)
    # A package whose folder does not exist yet would be a dangling link.
    for folder in (link.readlink() for link in (source / "src" / "maskrt").iterdir() if link.is_symlink()):
        (source / "src" / "maskrt" / folder).mkdir(parents=True, exist_ok=True)
    venv.create(tmp_path / "venv", with_pip=True)
    binaries = tmp_path / "venv" / "bin"
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(binaries / command[0]), *command[1:]],
            env=clean,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    installed = run("pip", "install", "--quiet", f"{source}[cpu]")
    if "No matching distribution" in installed.stderr or "ConnectionError" in installed.stderr:
        pytest.skip("no package index can be reached")
    assert installed.returncode == 0, installed.stderr
    cv2.imwrite(str(tmp_path / "a.jpg"), np.full((60, 80, 3), 90, np.uint8))
    output = tmp_path / "out"
    result = run("maskrt", "infer", str(write_model()), "--images", str(tmp_path / "a.jpg"), "--output", str(output))
    assert result.returncode == 0, result.stderr
    assert len(json.loads((output / "results.json").read_text())) == 2
    assert run("python", "-c", "import torch").returncode != 0
    assert run("python", "-c", "import onnx").returncode != 0
