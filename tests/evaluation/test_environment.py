import json
import subprocess
import sys
from pathlib import Path

import pytest

from maskrt.engines.gpu import Gpu
from maskrt.evaluation import environment
from maskrt.evaluation.environment import Environment, describe_environment
from maskrt.evaluation.results.schema import from_json, to_json


def test_says_where_and_with_what():
    described = describe_environment()
    assert from_json(Environment, json.loads(json.dumps(to_json(described)))) == described
    assert described.date.endswith("+00:00")
    assert described.device == (described.gpu or described.cpu) != ""
    assert described.cores >= 1
    assert described.packages["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"maskrt", "numpy", "opencv", "torch", "onnxruntime"} <= described.packages.keys()


def test_imports_no_heavy_package():
    code = (
        "import sys; from maskrt.evaluation.environment import describe_environment; describe_environment(); "
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'matplotlib', 'tensorrt_rtx'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_gpu_with_and_without_its_driver_tool(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(environment, "local_gpu", lambda: Gpu("NVIDIA L4", "8.9"))
    first_line = environment._first_line
    monkeypatch.setattr(environment, "_first_line", lambda *c: "580.1" if c[0] == "nvidia-smi" else first_line(*c))
    described = describe_environment()
    assert (described.device, described.compute_capability) == ("NVIDIA L4", "8.9")
    assert described.driver == "580.1"
    monkeypatch.setattr(environment, "_first_line", lambda *command: None)
    assert describe_environment().driver is None


def test_commit_is_the_checkouts_own(tmp_path: Path):
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "--quiet")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "--quiet", "--message", "a")
    assert environment._checkout(tmp_path) == (git("rev-parse", "HEAD"), False)
    (tmp_path / "a").write_text("2")
    assert environment._checkout(tmp_path) == (git("rev-parse", "HEAD"), True)
    # A package in a virtual environment inside of someone's repository is not of that repository's commit.
    (tmp_path / "site-packages").mkdir()
    assert environment._checkout(tmp_path / "site-packages") == (None, None)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["/usr/bin/python3", "-m", "maskrt.evaluation.bench.cli", "a b.onnx"],
            "python -m maskrt.evaluation.bench.cli 'a b.onnx'",
        ),
        (["/venv/bin/python", "/venv/bin/maskrt", "infer", "--images", "x.jpg"], "maskrt infer --images x.jpg"),
        (["/venv/bin/python", "runtime/infer.py", "--images", "x.jpg"], "python runtime/infer.py --images x.jpg"),
    ],
)
def test_command_names_no_place_of_this_machine(arguments: list[str], expected: str):
    assert environment._command(arguments) == expected


@pytest.mark.parametrize("code", ["", "import sys; sys.exit(1)", "import time; time.sleep(9)"])
def test_a_tool_that_says_nothing_or_fails_is_no_error(code: str, monkeypatch: pytest.MonkeyPatch):
    run = subprocess.run
    monkeypatch.setattr(environment.subprocess, "run", lambda *c, timeout, **o: run(*c, timeout=0.5, **o))
    assert environment._first_line(sys.executable, "-c", code) is None
    assert environment._first_line("no-such-tool-anywhere") is None
