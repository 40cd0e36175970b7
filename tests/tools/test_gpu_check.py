"""The command `make gpu-check` where there is no GPU."""

from __future__ import annotations

import json
import os
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


@pytest.fixture
def made_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a folder of tests in the place of the project's: marked files, files without the mark, and broken ones."""
    folder = tmp_path / "tests"
    files = {
        "conftest.py": "import pytest\n@pytest.fixture(params=[1])\ndef plain(request): pass\n",
        "test_plain.py": "import missing_package\ndef test(plain): pass\n",
        "room/conftest.py": (
            "import pytest\n@pytest.fixture(\n  params=[\n    pytest.param(1, marks=pytest.mark.gpu),\n  ],\n)\n"
            "def device(request): pass\n"
        ),
        "room/test_marked.py": "import pytest\n@pytest.mark.gpu\ndef test(): pass\ndef test_other(): assert False\n",
        "room/test_plain.py": "import missing_package  # no @pytest.mark.gpu\ndef test(plain): pass\n",
        "room/inner/test_by_fixture.py": "def test(device): pass\n",
        "room/inner/test_broken.py": "import missing_package\ndef test(device): pass\n",
        "neighbour/test_of_that_name.py": "import missing_package\ndef test(device): pass\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setattr(gpu_check, "TESTS", folder)
    return folder


def test_finds_tests_by_their_mark_and_by_marked_fixtures_of_their_folders(made_tests: Path) -> None:
    found = [str(file.relative_to(made_tests)) for file in gpu_check.gpu_tests()]
    assert found == ["room/inner/test_broken.py", "room/inner/test_by_fixture.py", "room/test_marked.py"]


def test_a_file_that_cannot_be_imported_does_not_stop_the_others(
    made_tests: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = gpu_check.run_tests({**os.environ, "PYTHONUNBUFFERED": "1"})
    assert result["exit_status"] == 1
    assert "2 passed" in result["summary"] and "1 error" in result["summary"]
    assert "No module named 'missing_package'" in capsys.readouterr().out


def test_no_test_that_is_marked_is_missed(request: pytest.FixtureRequest) -> None:
    """Among those of this run; in a run of the whole suite these are all."""
    marked = {item.path for item in request.session.items if item.get_closest_marker("gpu")}
    assert marked <= set(gpu_check.gpu_tests())


# Runs pytest where the packages named in argv[1] cannot be imported.
WITHOUT = """
import sys
sys.modules.update(dict.fromkeys(sys.argv[1].split()))
import pytest
sys.exit(pytest.main(sys.argv[2:]))
"""


@pytest.mark.slow
def test_its_tests_need_no_more_packages_than_it_says() -> None:
    absent = "av matplotlib onnxscript polygraphy pycocotools safetensors skimage sklearn tensorrt tensorrt_rtx tqdm"
    options = ("-m", "gpu", "--collect-only", "-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    command = [sys.executable, "-c", WITHOUT, absent, *options, *map(str, gpu_check.gpu_tests())]
    result = subprocess.run(command, cwd=gpu_check.REPOSITORY, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stdout
    files = {line.split("::")[0] for line in result.stdout.splitlines() if "::" in line}
    assert files == {str(file.relative_to(gpu_check.REPOSITORY)) for file in gpu_check.gpu_tests()}
    assert {file.split("/")[1] for file in files} == {"engines", "plugins", "runtime"}


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
