"""`make install` says little, shows progress, and names the log where pip fails."""

import re
import sys
from pathlib import Path

import pytest

from maskrt.tools import make_environment as tool

PIP = """
import sys
print("WARNING: something of no interest")
print("Collecting a==1 (from x)")
print("  Downloading a-1.whl (9 MB)")
print("Installing collected packages: a, b, c")
if "broken" in sys.argv[-1]:
    sys.exit("ERROR: no matching distribution")
"""


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment whose Python does nothing but talk as pip does; returns its folder."""
    environment = tmp_path / "env"

    def run(command: list[str], **_: object) -> object:
        (environment / "bin").mkdir(parents=True)
        (environment / "pip.py").write_text(PIP)
        python = environment / "bin" / "python"
        python.write_text(f'#!/bin/sh\nexec {sys.executable} {environment / "pip.py"} "$@"\n')
        python.chmod(0o755)
        return type("Ended", (), {"returncode": 0})

    monkeypatch.setattr(tool.subprocess, "run", run)
    return environment


def test_what_is_said(pip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main([str(pip), ".[x]", "--alone", "y"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    first, *stages = out.splitlines()
    assert first == f"Making the environment {pip}: what pip says is in {pip / tool.LOG}"
    assert [line.partition("] ")[2] for line in stages] == [
        "collecting packages; torch and its CUDA libraries are the most of it",
        *["installing 3 packages"] * 3,
        "done: 0.0 GB",
    ]
    assert (pip / tool.LOG).read_text().count("WARNING: something of no interest") == 3


def test_on_a_terminal(pip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert tool.main([str(pip), ".[x]"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"\r  \[ *\d+ s\] looking for a==1 ", out)
    assert out.count("\n") == 5


def test_pip_that_fails(pip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main([str(pip), "broken"]) == 2
    err = capsys.readouterr().err
    assert "ERROR: no matching distribution" in err
    assert err.endswith(f"pip ended with 1; all that it said is in {pip / tool.LOG}.\n")


def test_it_needs_python_alone() -> None:
    """It runs before anything is installed."""
    text = Path(tool.__file__).read_text(encoding="utf-8")
    assert "import maskrt" not in text
    assert "from maskrt" not in text
