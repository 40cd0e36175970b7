"""Finding and running the tests that are marked `gpu`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from maskrt.tools.gpu_check import tests as gpu_check
from maskrt.tools.gpu_check.machine import REPOSITORY
from maskrt.tools.gpu_check.part import Report


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
        "room/test_marked.py": (
            "import pytest\n@pytest.mark.gpu\n@pytest.mark.parametrize('text', ['a - b', 'c'])\n"
            "def test(text): pass\ndef test_other(): assert False\n"
        ),
        "room/test_plain.py": "import missing_package  # no @pytest.mark.gpu\ndef test(plain): pass\n",
        "room/inner/test_by_fixture.py": "def test(device): pass\ndef test_wrong(device): assert False\n",
        "room/inner/test_broken.py": "raise ValueError('broken')\ndef test(device): pass\n",
        "room/inner/test_lacking.py": "import missing_package\ndef test(device): pass\n",
        "neighbour/test_of_that_name.py": "import missing_package\ndef test(device): pass\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setattr(gpu_check, "TESTS", folder)
    return folder


def test_finds_tests_by_their_mark_and_by_marked_fixtures_of_their_folders(made_tests: Path) -> None:
    found = [str(file.relative_to(made_tests)) for file in gpu_check.gpu_tests()]
    assert found == [
        "room/inner/test_broken.py",
        "room/inner/test_by_fixture.py",
        "room/inner/test_lacking.py",
        "room/test_marked.py",
    ]


@pytest.mark.parametrize("settings", [False, True])  # of pytest, above the tests: names of files begin there
def test_a_file_that_cannot_be_imported_does_not_stop_the_others(
    made_tests: Path, tmp_path: Path, settings: bool
) -> None:
    if settings:
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
    report = Report(tmp_path / "result.json", tmp_path)
    with pytest.raises(RuntimeError, match="2 of 5 tests did not pass"):
        gpu_check.run_tests(report, gpu_check.gpu_tests())
    results = json.loads((tmp_path / "result.json").read_text())["results"]
    assert results["outcomes"] == {"passed": 3, "failed": 1, "error": 1}
    assert results["exit_status"] == 1
    wrong = {Path(name).name: what for name, what in results["not_passed"].items()}
    assert wrong == {"test_broken.py": "ValueError: broken", "test_by_fixture.py::test_wrong[1]": "failed"}
    ((name, reason),) = results["left_out"].items()
    assert Path(name).name == "test_lacking.py"
    assert "No module named 'missing_package'" in reason


def test_no_test_that_is_marked_is_missed(request: pytest.FixtureRequest) -> None:
    """Among those of this run; in a run of the whole suite these are all."""
    marked = {item.path for item in request.session.items if item.get_closest_marker("gpu")}
    assert marked <= set(gpu_check.gpu_tests())


def test_each_file_is_in_one_group(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """But for the one whose tests of the sanitizer are a group of their own."""
    groups: list[list[str]] = []
    found = gpu_check.gpu_tests()
    monkeypatch.setattr(gpu_check, "gpu_tests", lambda: found)
    monkeypatch.setattr(gpu_check, "require_gpu", lambda: None)
    monkeypatch.setattr(gpu_check, "run_tests", lambda _, files, options: groups.append([str(file) for file in files]))
    report = Report(tmp_path / "result.json", tmp_path)
    for group in (gpu_check.kernels, gpu_check.runtime, gpu_check.large, gpu_check.sanitizer):
        group(report)
    assert all(groups)
    assert groups[2] == groups[3]
    assert sorted(file for group in groups[:3] for file in group) == list(map(str, found))


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
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stdout
    files = {line.split("::")[0] for line in result.stdout.splitlines() if "::" in line}
    assert files == {str(file.relative_to(REPOSITORY)) for file in gpu_check.gpu_tests()}
    assert {file.split("/")[1] for file in files} == {"engines", "plugins", "runtime"}
