"""What the targets of the Makefile would run (`make -n`), and which variables they take."""

import functools
import os
import re
import subprocess
from pathlib import Path

import pytest

from maskrt.cli import VERBS
from maskrt.contract.precision import PRECISIONS, SOURCE_PRECISION

ROOT = Path(__file__).resolve().parents[1]
VALUES = {"COCO": "data", "PRECISION": "fp16", "ONNX": "other.onnx", "OUT": "elsewhere"}
"""Values for which a variable makes sense; any other gets its name in small letters."""


class Make:
    """`make -n` in a folder that has nothing but the Makefile, and an environment that is ready."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "Makefile").symlink_to(ROOT / "Makefile")
        for name in ("pyproject.toml", "constraints.txt", ".venv/.ready"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).touch()

    def run(
        self, *arguments: str, options: tuple[str, ...] = ("-n",), **environment: str
    ) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if name not in variables()}
        return subprocess.run(
            ["make", *options, *arguments],
            cwd=self.folder,
            env={**inherited, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def stand_in(self, script: str) -> None:
        """What is run instead of `maskrt`."""
        path = self.folder / ".venv" / "bin" / "maskrt"
        path.parent.mkdir()
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def commands(self, *arguments: str, **environment: str) -> list[str]:
        """What would be run, without the notes."""
        result = self.run(*arguments, **environment)
        assert result.returncode == 0, result.stderr
        lines = re.sub(r"\\\n\s*", "", result.stdout).splitlines()
        return [" ".join(line.split()) for line in lines if not line.startswith(("mkdir", "printf"))]

    def error(self, *arguments: str) -> str:
        """What make says of a mistake; nothing is run then."""
        result = self.run(*arguments)
        assert (result.returncode, result.stdout) == (2, "")
        return result.stderr

    def make(self, name: str, note: str = "") -> None:
        """A file that was made, with the note that lies beside it."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        if note:
            path.with_name(f".{path.name}.made-with").write_text(f"{note}\n")


@functools.cache
def variables(target: str = "") -> set[str]:
    """The variables that the Makefile knows, or that a target uses without any being given."""
    expression = f"$(call uses,{target})" if target else "$(VARIABLES)"
    command = ["make", "-s", f"--eval=print:;@echo $(sort {expression})", "print"]
    return set(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())


@functools.cache
def targets() -> list[str]:
    command = ["make", "-s", "--eval=print:;@echo $(TARGETS)", "print"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


@pytest.fixture
def make(tmp_path):
    return Make(tmp_path)


def test_each_verb_is_a_target():
    assert set(VERBS) <= set(targets())


def test_what_is_not_calibrated_is_what_the_table_of_precisions_says():
    command = ["make", "-s", "--eval=print:;@echo $(NOT_CALIBRATED)", "print"]
    named = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert named == [name for name, row in PRECISIONS.items() if not row.calibrated]
    assert named[0] == SOURCE_PRECISION


@pytest.mark.parametrize("target", targets())
def test_the_variables_of_a_target_are_those_that_it_uses(make, target):
    used, known = variables(target), variables()
    plain = make.commands(target)
    for path in ("other.onnx", "files"):
        make.make(path)
    for name in used - {"PYTHON"}:  # PYTHON makes the environment, which is ready
        others = {"CALIBRATION": "photos"} if "CALIBRATION" in used - {name} else {}
        without = make.commands(target, **others)
        assert make.commands(target, f"{name}={VALUES.get(name, name.lower())}", **others) != without, name
    # Those of the environment are not looked at, but would be used.
    others = {name: VALUES.get(name, name.lower()) for name in known - used if name not in ("PYTHON", "VENV")}
    assert make.commands(target, **others) == plain
    for name in sorted(others)[:1]:
        assert f"`make {target}` as asked for has no use for {name}" in make.error(target, f"{name}=x")


def test_a_variable_that_is_used_is_known(make):
    assert set().union(*map(variables, targets())) | {"CALIBRATION", "QUANTIZE_OPTIONS"} == variables()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["infer", "IMAGE=x"], "There is no variable IMAGE. Did you mean IMAGES?"),
        (["engine", "TARGETS=l4"], "There is no variable TARGETS. Did you mean TARGET?"),
        (["engine", "precision=int8"], "There is no variable precision. Did you mean PRECISION?"),
        (["engine", "zzz=1"], "There is no variable zzz. `make` lists them"),
        (["demo", "PRECISION=int8"], "`make demo` as asked for has no use for PRECISION. It uses OUT PYTHON VENV."),
        (["PRECISION=int8"], "`make help` as asked for has no use for PRECISION"),
        (["engine", "CALIBRATION=photos"], "no use for CALIBRATION"),
        (["engine", "PRECISION=fp16", "QUANTIZE_OPTIONS=--seed 1"], "no use for QUANTIZE_OPTIONS"),
        (["engine", "ONNX=a.onnx", "MODEL=mine:make"], "no use for MODEL"),
        (["infer", "ENGINE_OPTIONS=--flavor tensorrt"], "no use for ENGINE_OPTIONS"),
        (["compare", "FILES=a.onnx", "PRECISION=int8"], "no use for PRECISION"),
        (["quantize", "PRECISION=fp32"], "fp32 is what `make export` writes"),
        (["engine", "ONNX=model.pth"], "ONNX=model.pth: expected the name of a file that ends in .onnx"),
        (["engine", "TARGET=l4 t4"], "TARGET=l4 t4: expected one target"),
        (["infer", "PRECISION=fp16 int8"], "PRECISION=fp16 int8: expected one"),
    ],
)
def test_mistakes_get_a_sentence(make, given, message):
    assert message in make.error(*given)


EXPORT = ".venv/bin/maskrt export maskrt.shapes.model:shapes_model --output out/model.onnx"
SCENES = ".venv/bin/python -m maskrt.shapes.dataset --split train --limit 64 --output out/calibration"
INT8 = (
    ".venv/bin/maskrt quantize out/model.onnx --precision int8 --images out/calibration/annotations.json"
    " --output out/model.int8.onnx"
)
PLUGINS = ".venv/bin/python -m maskrt.plugins.build"


def test_an_engine_of_a_lower_precision(make):
    engine = ".venv/bin/maskrt engine out/model.int8.onnx --target rtx4090"
    assert make.commands("engine", "TARGET=rtx4090", "PRECISION=int8") == [EXPORT, SCENES, INT8, PLUGINS, engine]
    package = ".venv/bin/maskrt package out/model.int8.l4.engine --onnx out/model.int8.onnx"
    assert make.commands("package", "TARGET=l4", "PRECISION=int8") == [
        *(EXPORT, SCENES, INT8, PLUGINS),
        *(engine.replace("rtx4090", "l4"), package),
    ]


def test_an_engine_is_of_fp32_by_default(make):
    engine = ".venv/bin/maskrt engine out/model.onnx --target rtx4090"
    assert make.commands("engine") == [EXPORT, PLUGINS, engine]


def test_infer_runs_the_file_of_the_precision_or_the_engine_of_the_target(make):
    assert make.commands("infer", "IMAGES=a.jpg b.jpg", "PRECISION=int8")[-1] == (
        ".venv/bin/maskrt infer out/model.int8.onnx --images a.jpg b.jpg --output out/infer"
    )
    assert make.commands("infer", "IMAGES=rtsp://host/a", "TARGET=t4", "PRECISION=fp16")[-1] == (
        ".venv/bin/maskrt infer out/model.fp16.t4.engine --images rtsp://host/a --output out/infer"
    )


def test_openvino_needs_no_plugins(make):
    *_, engine, infer = commands = make.commands("infer", "TARGET=openvino", "PRECISION=int8", "IMAGES=x")
    assert engine == ".venv/bin/maskrt engine out/model.int8.onnx --target openvino"
    assert infer == ".venv/bin/maskrt infer out/model.int8.openvino.xml --images x --output out/infer"
    assert PLUGINS not in commands


def test_a_newer_checkpoint_is_exported_again(make):
    for age, name in enumerate(("out/model.onnx", "mine.pth")):
        make.make(name, "MODEL=mine.pth" if name == "out/model.onnx" else "")
        os.utime(make.folder / name, (1_000_000_000 - age, 1_000_000_000 - age))
    infer = ".venv/bin/maskrt infer out/model.onnx --images x --output out/infer"
    assert make.commands("infer", "IMAGES=x", "MODEL=mine.pth") == [infer]
    os.utime(make.folder / "mine.pth")
    assert (
        make.commands("infer", "IMAGES=x", "MODEL=mine.pth")[0]
        == ".venv/bin/maskrt export mine.pth --output out/model.onnx"
    )


def test_compare_takes_several_precisions(make):
    make.make("out/model.onnx")
    first = ".venv/bin/maskrt compare out/model.onnx out/model.fp16.onnx out/model.int8.onnx "
    assert make.commands("compare")[-1].startswith(first)
    last = make.commands("compare", "PRECISION=fp32 fp8", "TARGET=l4")[-1]
    assert last.startswith(".venv/bin/maskrt compare out/model.l4.engine out/model.fp8.l4.engine ")
    make.make("a.onnx")
    make.make("b.engine")
    assert make.commands("compare", "FILES=a.onnx b.engine", "IMAGES=x")[0].startswith(
        ".venv/bin/maskrt compare a.onnx b.engine "
    )


def test_the_source_model_goes_to_export_and_to_what_compares_with_it(make):
    given = ["MODEL=maskrcnn_resnet50_fpn", "WEIGHTS=COCO_V1", "CHECKPOINT=a.pth", "CHECKPOINT_KEY=ema"]
    given += ["NUM_CLASSES=3", "CLASS_NAMES=n.txt"]
    options = "--weights COCO_V1 --checkpoint a.pth --checkpoint-key ema --num-classes 3 --class-names n.txt"
    export, *_, bench = make.commands("bench", *given)
    assert export == f".venv/bin/maskrt export maskrcnn_resnet50_fpn {options} --output out/model.onnx"
    assert f" maskrcnn_resnet50_fpn {options} " in bench


def test_another_model_needs_its_own_images_to_calibrate_with(make):
    result = make.run("engine", "MODEL=mine:make", "PRECISION=int8")
    assert result.returncode == 2
    assert "int8 is calibrated on images like those that the model will see: give CALIBRATION=PATH" in result.stderr
    commands = make.commands("engine", "MODEL=mine:make", "PRECISION=int8", "CALIBRATION=photos")
    assert "--images photos " in commands[1]
    assert make.commands("engine", "MODEL=mine:make", "PRECISION=fp16")[1].endswith(
        "--precision fp16 --output out/model.fp16.onnx"
    )


def test_a_file_that_is_there_is_not_made_again(make):
    for name in ("out/model.onnx", "out/calibration/annotations.json", "out/model.int8.onnx"):
        make.make(name)
    assert make.commands("engine", "PRECISION=int8") == [
        *(PLUGINS, ".venv/bin/maskrt engine out/model.int8.onnx --target rtx4090"),
    ]
    assert make.commands("export") == [EXPORT]
    assert make.commands("quantize") == [INT8]


def test_a_file_that_was_made_with_other_variables_is_made_again(make):
    make.make("out/model.onnx", "MODEL=mine:make WEIGHTS=a")
    assert make.commands("infer", "MODEL=mine:make", "WEIGHTS=a", "IMAGES=x")[0].startswith(".venv/bin/maskrt infer")
    assert make.commands("infer", "MODEL=mine:make", "WEIGHTS=b", "IMAGES=x")[0].startswith(".venv/bin/maskrt export")
    assert make.commands("infer", "MODEL=maskrt.shapes.model:shapes_model", "IMAGES=x")[0] == EXPORT
    # Where nothing is said of the model, the one that is there is meant.
    assert make.commands("infer", "IMAGES=x")[0].startswith(".venv/bin/maskrt infer")
    assert "out/model.onnx was exported with MODEL=mine:make WEIGHTS=a. Give the same" in make.error("compare")
    make.make("out/calibration/annotations.json")
    make.make("out/model.int8.onnx", "CALIBRATION=photos")
    given = ("infer", "PRECISION=int8", "IMAGES=x")
    assert make.commands(*given)[0].startswith(".venv/bin/maskrt infer")
    assert make.commands(*given, "CALIBRATION=photos")[0].startswith(".venv/bin/maskrt infer")
    assert make.commands(*given, "CALIBRATION=others")[0].startswith(".venv/bin/maskrt quantize")
    assert make.commands(*given, "QUANTIZE_OPTIONS=--seed 1", "CALIBRATION=photos")[0].endswith(
        "--images photos --seed 1 --output out/model.int8.onnx"
    )


def test_a_file_without_a_note_is_of_the_demo_model(make):
    make.make("out/model.onnx")
    assert make.commands("infer", "MODEL=maskrt.shapes.model:shapes_model", "IMAGES=x")[0].startswith(
        ".venv/bin/maskrt infer"
    )
    assert make.commands("infer", "MODEL=mine:make", "IMAGES=x")[0].startswith(".venv/bin/maskrt export")


def test_a_file_that_was_given_is_never_made_but_by_export(make):
    result = make.run("infer", "ONNX=mine.onnx", "IMAGES=x", options=())
    assert result.returncode == 2
    assert "There is no mine.onnx: `make export MODEL=… ONNX=mine.onnx` writes it" in result.stderr
    make.make("mine.onnx")
    assert make.commands("infer", "ONNX=mine.onnx", "IMAGES=x") == [
        ".venv/bin/maskrt infer mine.onnx --images x --output out/infer"
    ]
    export, infer = make.commands("export", "infer", "ONNX=mine.onnx", "MODEL=a:b", "IMAGES=x")
    assert export == ".venv/bin/maskrt export a:b --output mine.onnx"
    assert infer == ".venv/bin/maskrt infer mine.onnx --images x --output out/infer"


def test_the_note_says_what_a_file_was_made_with(make):
    shown = make.run("quantize", "MODEL=mine:make", "CALIBRATION=it's").stdout
    assert "printf '%s\\n' 'MODEL=mine:make' > out/.model.onnx.made-with" in shown
    assert "printf '%s\\n' 'CALIBRATION=it'\\''s' > out/.model.int8.onnx.made-with" in shown


def test_what_is_run_is_run_once_also_in_parallel(make):
    make.stand_in('echo "$@" >> log; while [ $# -gt 1 ]; do shift; done; touch "$1"')
    make.make("out/calibration/annotations.json")
    make.run("quantize", "package", "PRECISION=int8", "TARGET=l4", options=("-j4", "-o", "plugins"))
    lines = (make.folder / "log").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["export", "quantize", "engine", "package"]


def test_a_file_that_loses_too_much_is_an_error_and_kept(make):
    make.stand_in('case "$*" in *int8*) touch out/model.int8.onnx; exit 1;; esac')
    for name in ("out/model.onnx", "out/calibration/annotations.json"):
        make.make(name)
    assert make.run("quantize", "QUANTIZE_OPTIONS=--max-ap-drop 0 --dataset x", options=()).returncode == 2
    assert (make.folder / "out/model.int8.onnx").exists()


def test_coco_is_the_report_on_val2017_and_what_was_published(make):
    *_, evaluate, _, report = make.commands("coco", "COCO=data")[:-2]
    assert evaluate.startswith(".venv/bin/maskrt evaluate out/coco/report/model.fp32.onnx")
    assert (
        "--source maskrcnn_resnet50_fpn --weights COCO_V1 --dataset data/annotations/instances_val2017.json" in evaluate
    )
    assert report.startswith(".venv/bin/maskrt report out/coco/report")
    text = " ".join(make.commands("coco", "COCO=data", "MODEL=detectron2:COCO/x", "LIMIT=7"))
    assert "--weights" not in text
    assert "--images data/train2017 --limit 500" in text
    assert "--images data/val2017 --limit 7" in text
    assert "published_ap out/coco/report/evaluate/evaluate.json 'detectron2:COCO/x'" in text


def test_the_report_has_models_of_its_own(make):
    *_, report = commands = make.commands("report", "LIMIT=7")
    assert report == ".venv/bin/maskrt report out/report --output out/report/index.html"
    assert commands[0].endswith("--input-type float32 --output out/report/model.fp32.onnx")
    (evaluate,) = (command for command in commands if "maskrt evaluate" in command)
    assert "--limit 7 " in evaluate
    assert "out/report/model.fp32.onnx out/report/model.fp16.onnx out/report/model.int8.onnx" in evaluate


def test_slow_tests_are_for_test_all(make):
    assert '-m "not slow"' in make.commands("test")[-1]
    assert "slow" not in make.commands("test-all")[-1]


def test_help_lists_each_target():
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in targets():
        assert re.search(rf"^  make {target} +\S", shown, re.MULTILINE), target
