"""`maskrt deploy`: all steps in order, stopped and gone on with at each of them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from maskrt.deploy import cli
from maskrt.deploy.journal import FILE, Journal
from maskrt.deploy.plan import Request, Step, plan
from maskrt.errors import ArgumentError, DependencyError
from maskrt.options import SourceOptions

pytest.importorskip("openvino", reason="openvino is not installed, for which is deployed here")

SOURCE = "maskrt.shapes.model:shapes_model"
STEPS = ("export", "quantize", "compare", "engine", "package")


class Steps:
    """Stands in for the steps' processes: writes their outputs, and ends as it is told."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.endings: dict[str, int | type[BaseException]] = {}
        self.contents: dict[str, str] = {}

    def __call__(self, step: Step) -> int:
        self.ran.append(step.name)
        ending = self.endings.pop(step.name, 0)
        if ending in (0, step.code_of_verdict):
            for path in step.outputs:
                path.parent.mkdir(exist_ok=True)
                path.write_text(self.contents.get(step.name, step.name))
        if isinstance(ending, int):
            return ending
        raise ending


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    steps = Steps()
    monkeypatch.setattr(cli, "run_step", steps)
    return steps


@pytest.fixture
def deploy(scene_folder: Path, tmp_path: Path) -> Callable[..., int]:
    def run(*more: str) -> int:
        words = [SOURCE, "--target", "openvino", "--precision", "int8", "--images", str(scene_folder)]
        return cli.main([*words, "--output", str(tmp_path / "deploy"), *more])

    return run


def test_all_steps(
    steps: Steps, deploy: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy() == 0
    assert tuple(steps.ran) == STEPS
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == f"Done: {tmp_path / 'deploy' / 'model.int8.openvino.tar.gz'}"
    assert re.findall(r"^\d/\d \w+", said, re.MULTILINE) == [f"{n}/5 {name}" for n, name in enumerate(STEPS, start=1)]


@pytest.mark.parametrize("ending", [KeyboardInterrupt, 130, 2, -9])
@pytest.mark.parametrize("stopped", STEPS)
def test_stopped_and_gone_on(
    stopped: str,
    ending: int | type[BaseException],
    steps: Steps,
    deploy: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    steps.endings[stopped] = ending
    assert deploy() == (130 if ending in (KeyboardInterrupt, 130) else 2)
    assert "goes on from there" in capsys.readouterr().err
    assert steps.ran == list(STEPS[: STEPS.index(stopped) + 1])
    steps.ran.clear()
    assert deploy() == 0
    # The engine's verb finds by itself what it built.
    before = STEPS[: STEPS.index(stopped)]
    assert steps.ran == [name for name in STEPS if name not in before or name == "engine"]
    assert capsys.readouterr().out.count(f"done before, as {FILE} says") == len(set(before) - {"engine"})


def test_file_that_is_outside_its_budget(
    steps: Steps, deploy: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    steps.endings["compare"] = 1
    assert deploy() == 1
    assert "stopped after 3/5 compare, whose verdict is above. Give another --precision" in capsys.readouterr().err
    steps.ran.clear()
    assert deploy("--budget", "int8:snr_db=1") == 0
    assert steps.ran == ["compare", "engine", "package"]


def test_what_has_changed_is_done_again(
    steps: Steps, deploy: Callable[..., int], scene_folder: Path, tmp_path: Path
) -> None:
    assert deploy() == 0
    folder = tmp_path / "deploy"

    steps.ran.clear()
    (folder / "model.int8.onnx").write_text("damaged")
    assert deploy() == 0
    assert steps.ran == ["quantize", "engine"]  # which gave the same file

    steps.ran.clear()
    (folder / "model.onnx").unlink()
    steps.contents["export"] = "another"
    assert deploy() == 0
    assert steps.ran == ["export", "quantize", "engine"]

    steps.ran.clear()
    os.utime(next(scene_folder.iterdir()), ns=(0, 0))
    assert deploy() == 0
    assert steps.ran == ["quantize", "compare", "engine"]


@pytest.mark.parametrize(
    "content", ["", "[]", '{"format": 9, "done": {}}', '{"format": 1, "done": {"export": 3}}', "\0"]
)
def test_journal_that_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(content)
    step = Step("export", (), (), ())
    assert not Journal(tmp_path).is_done(step)
    Journal(tmp_path).add(step)
    assert Journal(tmp_path).is_done(step)


def request_of(folder: Path, **given: object) -> Request:
    return Request(
        **{"source": SourceOptions(SOURCE), "target": "openvino", "precision": "fp32", "folder": folder, **given}
    )


def test_without_images_and_in_fp32(tmp_path: Path) -> None:
    assert [step.name for step in plan(request_of(tmp_path), None)] == ["export", "engine", "package"]
    names = [step.name for step in plan(request_of(tmp_path, precision="fp16"), None)]
    assert names == ["export", "quantize", "engine", "package"]


def test_images_of_a_glob(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    steps = {step.name: step for step in plan(request_of(tmp_path, images=(str(tmp_path / "*.png"),)), None)}
    assert tmp_path / "a.png" in steps["compare"].inputs
    assert str(tmp_path / "*.png") in steps["compare"].words


def test_source_options_reach_both_sides(tmp_path: Path) -> None:
    (tmp_path / "names.txt").touch()
    source = SourceOptions("model", weights="COCO_V1", num_classes=3, class_names=tmp_path / "names.txt")
    steps = {step.name: step for step in plan(request_of(tmp_path, source=source, images=(str(tmp_path),)), None)}
    words = ("model", "--weights", "COCO_V1", "--num-classes", "3", "--class-names", str(tmp_path / "names.txt"))
    assert steps["export"].words[2 : 2 + len(words)] == words
    assert steps["compare"].words[-len(words) - 1 :] == ("--source", *words)
    assert tmp_path / "names.txt" in steps["export"].inputs


def test_plugins_are_compiled_where_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setenv("MASKRT_PLUGINS_DIR", str(tmp_path))
    names = [step.name for step in plan(request_of(tmp_path, target="l4"), None)]
    assert names == ["export", "plugins", "engine", "package"]
    (tmp_path / "libmaskrt_plugins.so").touch()
    assert "plugins" not in [step.name for step in plan(request_of(tmp_path, target="l4"), None)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"target": "l40"}, "There is no target 'l40'. Did you mean l4?"),
        ({"target": "local"}, "there is no GPU or no driver here"),
        ({"precision": "fp8"}, "has no fp8; it has fp32, fp16, int8"),
        ({"precision": "int8"}, "int8 is calibrated on images like those that the model will see: give --images"),
        ({"max_ap_drop": 0.1}, "--max-ap-drop 0.1 is of a precision that is calibrated, but fp32 is not"),
        ({"dataset": Path("a.json"), "precision": "fp16"}, "--dataset a.json is of a precision that is calibrated"),
        ({"budgets": ("snr_db=3",)}, "--budget is of the comparison"),
        ({"target": "h100"}, "H100"),
        ({"images": ("/no/such/*.png",)}, "--images /no/such/*.png: there is no such file or folder."),
    ],
)
def test_what_does_not_go_together_is_refused_first(given: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises((ArgumentError, DependencyError), match=re.escape(message)):
        plan(request_of(tmp_path, **given), None)


def test_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert cli.main([SOURCE, "--target", "openvino", "--output", str(tmp_path / "file" / "out")]) == 2
    assert "Cannot write to" in capsys.readouterr().err


def test_step_that_is_interrupted_ends(tmp_path: Path) -> None:
    """The signal comes to the parent alone, and the step gets it too."""
    (tmp_path / "sleeper.py").write_text(
        "import pathlib, time\npathlib.Path('started').touch()\n"
        "try:\n    time.sleep(600)\nexcept KeyboardInterrupt:\n    pathlib.Path('ended').touch()\n"
    )
    words = (
        "import os, signal, threading, time, pathlib\n"
        "from maskrt.deploy import cli\nfrom maskrt.deploy.plan import Step\n"
        "def interrupt():\n"
        "    while not pathlib.Path('started').exists(): time.sleep(0.01)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "threading.Thread(target=interrupt, daemon=True).start()\n"
        "try:\n    cli.run_step(Step('sleep', ('sleeper',), (), ()))\n"
        "except KeyboardInterrupt:\n    print('interrupted', flush=True)\n"
    )
    path = os.pathsep.join((str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])))
    ended = subprocess.run(
        [sys.executable, "-c", words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.stdout, (tmp_path / "ended").exists()) == ("interrupted\n", True), ended.stderr


@pytest.mark.slow
def test_interrupted_at_each_step_in_earnest(scene_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "deploy"
    command = [sys.executable, "-m", "maskrt.cli", "deploy", SOURCE, "--target", "openvino", "--precision", "fp16"]
    command += ["--images", str(next(scene_folder.iterdir())), "--output", str(folder)]
    interrupted: list[str] = []
    while True:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            begun = re.match(r"\d/\d (\w+): python -m", line)
            if begun and begun[1] not in interrupted:
                interrupted.append(begun[1])
                process.send_signal(signal.SIGINT)
                break
        said += process.stdout.read()
        code = process.wait()
        if code == 0:
            break
        assert code == 130, said
        assert "the same command goes on from there" in said
    assert tuple(interrupted) == STEPS
    with tarfile.open(folder / "model.fp16.openvino.tar.gz") as archive:
        assert "model.fp16.openvino/README.md" in archive.getnames()
    assert {path.name for path in folder.iterdir()} >= {"model.onnx", "model.fp16.onnx", "compare", FILE}
