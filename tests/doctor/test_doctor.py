"""`maskrt doctor` answers, whatever is broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from maskrt.doctor import examine, probes
from maskrt.doctor.cli import main
from maskrt.doctor.finding import BROKEN, MISSING, OK, Finding

ROOT = Path(__file__).resolve().parents[2]

BREAKAGES = {
    "raises": "raise RuntimeError('half of it is missing')",
    "dies": "import os; os.abort()",
    "exits": "import sys; sys.exit(3)",
    "talks": "print('hello')\nimport os; os.write(1, b'{}')\n",
    "lacks": "import a_package_that_is_not_there",
    "is empty": "",
}
SAID = {
    "raises": "half of it is missing",
    "dies": "SIGABRT",
    "exits": "ended with 3",
    "talks": "runs no model: AttributeError",
    "lacks": "a_package_that_is_not_there",
    "is empty": "runs no model: AttributeError",
}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules are found before those that are installed."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_package_that_is_broken(breakage: str, modules: Path) -> None:
    (modules / "onnxruntime.py").write_text(BREAKAGES[breakage])
    found = examine.probe("ONNX Runtime", 60)
    assert found.state == BROKEN
    assert SAID[breakage] in found.detail


def test_package_that_hangs(modules: Path) -> None:
    (modules / "tensorrt_rtx.py").write_text("import time; time.sleep(600)")
    assert examine.probe("TensorRT-RTX", 0.5) == Finding(BROKEN, "gave no answer in 0.5 s")


@pytest.mark.parametrize("name", probes.PROBES)
def test_nothing_is_installed(name: str, tmp_path: Path) -> None:
    """With Python alone: every probe still answers."""
    command = ("-S", "-m", "maskrt.doctor.probes")
    found = examine.probe(name, 60, command)
    assert found.state in (OK, MISSING, BROKEN)
    assert "gave no answer" not in found.detail
    if name in ("ONNX Runtime", "OpenVINO", "PyTorch", "TensorRT-RTX"):
        assert (found.state, found.detail) == (MISSING, "not installed")
        assert found.remedy.startswith("pip install ")
    if name == "extras":
        # What an installation from a checkout leaves in it tells what is required.
        remedies = ('pip install ".[cpu]"', "pip install numpy opencv-python-headless")
        assert found.state == BROKEN
        assert found.remedy in remedies


def test_the_engines_that_are_here_run() -> None:
    assert examine.probe("ONNX Runtime", 120).state == OK
    found = examine.probe("OpenVINO", 120)
    assert found.state == OK or found.remedy == 'pip install "maskrt[openvino]"'


def test_gpu_that_is_not_there() -> None:
    found = examine.probe("GPU", 120)
    assert found.state == OK or found.detail.endswith(".")


@pytest.mark.parametrize("broken", [False, True])
def test_plugin_library(broken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKRT_PLUGINS_DIR", str(tmp_path))
    for name in ("libmaskrt_plugins.so", "libmaskrt_host.so"):
        if broken:
            (tmp_path / name).write_bytes(b"\x7fELF")
    for name in ("plugin library", "host library"):
        found = examine.probe(name, 60)
        assert found.state == (BROKEN if broken else MISSING)
        assert "`make plugins`" in found.detail


def test_both_builds_of_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes.metadata, "version", lambda name: "1.0")
    found = probes.onnxruntime()
    assert found.state == BROKEN
    assert found.remedy == 'pip uninstall --yes onnxruntime onnxruntime-gpu && pip install "maskrt[cpu]"'


def test_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["numpy>=1", 'a2>=1; extra == "one"', 'maskrt[one]; extra == "two"', 'b-c3==1; extra == "three"']
    lines += ['onnxruntime; extra == "cpu"', 'onnxruntime-gpu; extra == "gpu"']
    there = {"numpy", "a2", "onnxruntime"}

    def version(name: str) -> str:
        if name not in there:
            raise metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(probes.metadata, "requires", lambda name: lines)
    monkeypatch.setattr(probes.metadata, "version", version)
    assert probes.extras() == Finding(OK, "whole: one, two, cpu. three lacks b-c3", 'pip install "maskrt[three]"')
    there.clear()
    assert probes.extras() == Finding(BROKEN, "without numpy, which maskrt itself needs", "pip install numpy")


def test_compilers_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes.shutil, "which", lambda name, path: None if name == "cmake" else name)
    assert probes.compiler() == Finding(MISSING, "no cmake: `make plugins` needs it", "pip install cmake")


def test_interpreter_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert examine.probe("GPU", 60).detail.startswith("could not be looked at: ")


@pytest.mark.parametrize("answer", ["", "[]", "{}", '{"state": "fine", "detail": "", "remedy": null}', "\ud800"])
def test_answer_that_is_none(answer: str, tmp_path: Path) -> None:
    command = ("-c", f"import os; os.write(1, {answer.encode(errors='surrogatepass')!r})")
    found = examine.probe("GPU", 60, command)
    assert found.detail == "gave no answer, and ended with 0"


@pytest.fixture(scope="module")
def answer() -> dict:
    """Of the whole command, as JSON, with a package that dies."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    ended = subprocess.run(
        [sys.executable, "-m", "maskrt.cli", "doctor", "--json"], capture_output=True, env=environment, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    return json.loads(ended.stdout)


def test_json(answer: dict) -> None:
    assert answer["format"] == examine.FORMAT
    assert list(answer["findings"]) == list(probes.PROBES)
    assert answer["system"]["environment"]["CUDA_VISIBLE_DEVICES"] == ""
    for finding in answer["findings"].values():
        assert set(finding) == {"group", "state", "detail", "remedy"}
        assert finding["state"] == OK or finding["remedy"] or "`" in finding["detail"] or "Install" in finding["detail"]


def test_text(answer: dict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("maskrt.doctor.cli.examine", lambda: answer)
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("maskrt ")
    for name, finding in answer["findings"].items():
        assert sum(finding["detail"] in line and name in line for line in lines) == 1
        assert finding["remedy"] is None or any(line.endswith(f"-> {finding['remedy']}") for line in lines)


def test_probes_import_what_they_look_at_in_their_own_process() -> None:
    words = "import sys, maskrt.doctor.cli; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    said = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True).stdout
    assert "'maskrt'" in said
    assert not {"'numpy'", "'torch'", "'onnxruntime'"} & set(said.strip("[]\n").split(", "))
