"""`make gpu-check` where there is no GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from maskrt.plugins import build, libraries
from maskrt.tools import gpu_check


def test_without_a_gpu_it_says_so_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert gpu_check.main(["--output", str(tmp_path / "results")]) == gpu_check.NO_GPU
    message = capsys.readouterr().err
    assert message == "gpu-check needs an NVIDIA GPU: torch sees no NVIDIA GPU on this machine. Nothing was checked.\n"
    assert not (tmp_path / "results").exists()


# Runs pytest where the packages named in argv[1] cannot be imported.
WITHOUT = """
import sys
sys.modules.update(dict.fromkeys(sys.argv[1].split()))
import pytest
sys.exit(pytest.main(sys.argv[2:]))
"""


def test_its_tests_need_no_more_packages_than_it_says() -> None:
    absent = "av matplotlib onnxscript polygraphy pycocotools safetensors skimage sklearn tensorrt tensorrt_rtx tqdm"
    options = ("-m", "gpu", "--collect-only", "-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    command = [sys.executable, "-c", WITHOUT, absent, *options, *map(str, gpu_check.gpu_tests())]
    result = subprocess.run(command, cwd=gpu_check.REPOSITORY, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stdout
    files = {line.split("::")[0] for line in result.stdout.splitlines() if "::" in line}
    assert {"tests/plugins/test_gpu.py", "tests/plugins/test_device.py", "tests/runtime/cuda/test_device.py"} <= files


def test_a_benchmark_that_fails_leaves_the_result_of_the_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a relative folder: pytest, which runs elsewhere, must find the libraries all the same."""
    tests: dict[str, Any] = {}

    def run_tests(environment: dict[str, str]) -> dict[str, Any]:
        tests["folder"] = environment[libraries.DIRECTORY_VARIABLE]
        return {"exit_status": 0, "summary": "1 passed"}

    def fail() -> None:
        raise RuntimeError("out of memory")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(libraries.DIRECTORY_VARIABLE, "elsewhere")
    monkeypatch.setattr(gpu_check, "missing_gpu", lambda: None)
    monkeypatch.setattr(gpu_check, "describe_machine", lambda: {"device": "A B/C", "compute_capability": "9.0"})
    monkeypatch.setattr(gpu_check, "run_tests", run_tests)
    monkeypatch.setattr(build, "build", lambda folder, **_: folder.mkdir(parents=True) or folder)
    monkeypatch.setattr("maskrt.tools.kernel_benchmark.kernels", SimpleNamespace(run=fail), raising=False)
    with pytest.raises(RuntimeError, match="out of memory"):
        gpu_check.main(["--output", "results"])
    assert tests["folder"] == str(tmp_path / "results" / "build")
    written = json.loads((tmp_path / "results" / "A-B-C.json").read_text())
    assert written["tests"]["summary"] == "1 passed"
