"""The command `make gpu-check`: its parts, its budget, and what it writes, on a machine without a GPU."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maskrt.evaluation.results.files import read_result
from maskrt.evaluation.results.gpu_check import GpuCheck, PartRecord
from maskrt.plugins import libraries
from maskrt.tools.gpu_check import __main__ as command
from maskrt.tools.gpu_check.parts import PARTS, Part
from maskrt.tools.gpu_check.run import RESULTS, run_parts

STAND_INS = """
import os, subprocess, sys, time
from pathlib import Path
from maskrt.tools.gpu_check.part import Skip

def good(report):
    report.add("folder", os.environ["MASKRT_PLUGINS_DIR"])
    report.add("carried", str(report.carried))
    report.add("no number", [float("nan"), -float("inf")])

def skipping(report):
    raise Skip("there is none")

def lacking(report):
    import no_such_package

def failing(report):
    report.add("before", 1)
    raise ValueError("out of luck")

def crashing(report):
    report.add("before", 2)
    os.abort()

def hanging(report):
    report.add("before", 3)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    report.add("child", child.pid)
    time.sleep(1000)

def building(report):
    folder = Path(os.environ["MASKRT_PLUGINS_DIR"])
    folder.mkdir()
    (folder / "libmaskrt_plugins.so").touch()
"""


@pytest.fixture
def part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Part]:
    """`part("good")`: a part whose function is one of the stand-ins."""
    (tmp_path / "stand_ins.py").write_text(STAND_INS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(function: str, limit: float = 60, compiled: bool = False) -> Part:
        return Part(function, "stand_ins", function, limit, "a stand-in", compiled)

    return make


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_what_ends_a_part_ends_no_other(part: Callable[..., Part], tmp_path: Path) -> None:
    """Each keeps what it had found; the results are complete, and what a part started ends with it."""
    parts = [part("skipping"), part("lacking"), part("failing"), part("crashing"), part("hanging", 4), part("good")]
    results = run_parts(parts, tmp_path, tmp_path / "carried")
    written = read_result(tmp_path / RESULTS)
    assert isinstance(written, GpuCheck)
    assert written.parts == results
    assert written.environment.packages["torch"]
    found = {name: (result.status, result.results.get("before")) for name, result in results.items()}
    assert found == {
        "skipping": ("skipped", None),
        "lacking": ("skipped", None),
        "failing": ("failed", 1),
        "crashing": ("failed", 2),
        "hanging": ("stopped", 3),
        "good": ("done", None),
    }
    reasons = [results[one.name].reason for one in parts]
    assert reasons[0] == "there is none"
    assert reasons[1] == "a package that it needs cannot be imported: No module named 'no_such_package'"
    assert reasons[2] == "ValueError: out of luck"
    assert reasons[3] == "its process ended with status -6"
    assert reasons[4] == "it took longer than 4 s"
    assert results["good"].results == {
        "folder": str(tmp_path / "build"),
        "carried": str(tmp_path / "carried"),
        "no number": ["NaN", "-Infinity"],
    }
    deadline = time.monotonic() + 60
    while is_running(results["hanging"].results["child"]):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_budget(part: Callable[..., Part], tmp_path: Path) -> None:
    """It cuts a part short, and what is behind it is not begun; the results say so."""
    results = run_parts([part("hanging", 1000), part("good")], tmp_path, tmp_path, budget=6)
    assert results["hanging"].status == "stopped"
    assert 4 < results["hanging"].seconds < 60
    assert results["good"] == PartRecord("not reached", 0.0, reason="the budget was used up before")
    assert set(json.loads((tmp_path / RESULTS).read_text())["parts"]) == {"hanging", "good"}


def test_a_part_alone_has_the_plugins_compiled_before_it(
    part: Callable[..., Part], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PARTS, "build", part("building"))  # type: ignore[index]
    needing = part("good", compiled=True)
    assert list(run_parts([needing], tmp_path, tmp_path)) == ["building", "good"]
    assert list(run_parts([needing], tmp_path, tmp_path)) == ["good"]  # they are there
    (tmp_path / "build" / libraries.PLUGINS).unlink()
    monkeypatch.setitem(PARTS, "build", part("skipping"))  # type: ignore[index]
    results = run_parts([needing], tmp_path, tmp_path)
    assert results["good"].status == "skipped"
    assert results["good"].reason == "the plugins could not be compiled, see build"


def test_without_a_gpu_it_says_so_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert command.main(["--output", str(tmp_path / "results")]) == command.NO_GPU
    message = capsys.readouterr().err
    assert message == "gpu-check needs an NVIDIA GPU: torch sees no NVIDIA GPU on this machine. Nothing was checked.\n"
    assert not (tmp_path / "results").exists()


def test_the_command_runs_the_parts_that_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {}

    def run(parts: Any, output: Path, carried: Path, budget: Any, *, dry_run: bool) -> dict[str, PartRecord]:
        asked.update(parts=[part.name for part in parts], output=output, carried=carried, budget=budget, dry=dry_run)
        return {"rtx": PartRecord(asked.pop("status", "done"), 1.0)}

    monkeypatch.setattr(command, "run_parts", run)
    monkeypatch.chdir(tmp_path)
    arguments = ["--dry-run", "--part", "rtx", "machine", "--budget", "540", "--output", "results"]
    assert command.main(arguments) == 0
    output = tmp_path / "results"
    expected = {
        "parts": ["machine", "rtx"],
        "output": output,
        "carried": output / "carried",
        "budget": 540,
        "dry": True,
    }
    assert asked == expected
    asked["status"] = "failed"
    assert command.main(["--dry-run"]) == 1
    assert asked["parts"] == list(PARTS)
    assert "rtx  failed" in capsys.readouterr().out


@pytest.mark.slow
def test_the_parts_need_no_more_packages_than_the_check_says() -> None:
    """But for the tests and the runtime, which say what they lack."""
    absent = "av cv2 matplotlib onnxscript polygraphy pycocotools safetensors skimage sklearn tensorrt_rtx tqdm"
    modules = sorted({part.module for part in PARTS.values()} | {"maskrt.shapes.model", "maskrt.tools.drawn_weights"})
    code = f"import sys; sys.modules.update(dict.fromkeys({absent.split()})); import {', '.join(modules)}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_a_dry_run_starts_every_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no GPU, each says so."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for one in list(PARTS.values()):  # of a busy machine, too
        monkeypatch.setitem(PARTS, one.name, dataclasses.replace(one, limit=900))  # type: ignore[index]
    assert command.main(["--dry-run", "--output", str(tmp_path)]) == 0
    results = read_result(tmp_path / RESULTS)
    assert isinstance(results, GpuCheck)
    assert list(results.parts) == list(PARTS)
    assert {part.reason for part in results.parts.values()} == {"torch sees no NVIDIA GPU on this machine"}
    assert all((tmp_path / f"{name}.json").is_file() for name in PARTS)
