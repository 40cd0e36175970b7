"""The steps from a source model to the archive for its device: each a verb of `maskrt`, with its files."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskrt.contract.precision import PRECISIONS, SOURCE_PRECISION
from maskrt.engines.build import default_output
from maskrt.engines.builders.registry import choose_builder
from maskrt.engines.gpu import Gpu
from maskrt.engines.package import cli as package
from maskrt.engines.request import AUTO
from maskrt.engines.targets import GpuTarget, check_precision, find_target
from maskrt.errors import ArgumentError
from maskrt.options import SourceOptions
from maskrt.plugins import libraries


@dataclass(frozen=True)
class Step:
    """One of them.

    Attributes:
        name: the verb.
        words: of the command, behind `python -m`.
        inputs: files and folders of which the outcome depends.
        outputs: what it writes.
        code_of_verdict: an exit code with which the outputs are there, and are not as they should be; None: no such.
        advice: what the user can do about that verdict.
        finds_its_work: whether the verb itself finds, and checks, what it made before, so that it is always asked.
    """

    name: str
    words: tuple[str, ...]
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]
    code_of_verdict: int | None = None
    advice: str = ""
    finds_its_work: bool = False


@dataclass(frozen=True)
class Request:
    """What is deployed, and where.

    Attributes:
        source: the model.
        target: a name of `maskrt targets`.
        precision: of the file.
        folder: for everything that is made.
        images: like those that the model will see: for calibration and comparison; empty: none.
        dataset: COCO annotations to measure AP with, and `max_ap_drop`, how much of it may be lost; both may be None.
        budgets: as `maskrt compare --budget` takes them.
    """

    source: SourceOptions
    target: str
    precision: str
    folder: Path
    images: tuple[str, ...] = ()
    dataset: Path | None = None
    max_ap_drop: float | None = None
    budgets: tuple[str, ...] = ()


def plan(request: Request, gpu: Gpu | None) -> list[Step]:
    """Return the steps in order. What can be refused is refused here, before the first of them takes its time.

    Raises:
        MaskrtError: the target, the precision and what is given do not go together, or nothing builds for it here.
    """
    target = find_target(request.target, gpu)
    check_precision(target, request.precision)
    builder = choose_builder(target, request.precision, AUTO, gpu)
    is_calibrated = PRECISIONS[request.precision].calibrated
    if is_calibrated and not request.images:
        raise ArgumentError(
            f"{request.precision} is calibrated on images like those that the model will see: give --images PATH."
        )
    for option, value in (("--dataset", request.dataset), ("--max-ap-drop", request.max_ap_drop)):
        if value is not None and not is_calibrated:
            raise ArgumentError(
                f"{option} {value} is of a precision that is calibrated, but {request.precision} is not: leave it out."
            )
    if request.budgets and not request.images:
        raise ArgumentError("--budget is of the comparison with the source model: give --images PATH to compare on.")

    source, images = _source_words(request.source), tuple(_image_paths(request.images))
    exported = request.folder / "model.onnx"
    steps = [
        Step(
            "export",
            ("maskrt.cli", "export", *source, "--output", str(exported)),
            _source_files(request.source),
            (exported,),
        )
    ]
    model = exported
    if request.precision != SOURCE_PRECISION:
        model = request.folder / f"model.{request.precision}.onnx"
        words = ["maskrt.cli", "quantize", str(exported), "--precision", request.precision, "--output", str(model)]
        words += ["--images", *request.images] if is_calibrated else []
        words += [] if request.dataset is None else ["--dataset", str(request.dataset)]
        words += [] if request.max_ap_drop is None else ["--max-ap-drop", str(request.max_ap_drop)]
        inputs = (exported, *(images if is_calibrated else ()), *([request.dataset] if request.dataset else ()))
        steps.append(Step("quantize", tuple(words), inputs, (model,)))
    if request.images:
        compared = request.folder / "compare"
        words = ["maskrt.cli", "compare", str(model), "--images", *request.images, "--output", str(compared)]
        words += [word for budget in request.budgets for word in ("--budget", budget)]
        steps.append(
            Step(
                "compare",
                (*words, "--source", *source),
                (model, *images, *_source_files(request.source)),
                (compared / "compare.json",),
                code_of_verdict=1,
                advice="Give another --precision, or if what the table shows is good enough, a wider --budget.",
            )
        )
    if isinstance(target, GpuTarget) and not (libraries.directory() / libraries.PLUGINS).is_file():
        steps.append(Step("plugins", ("maskrt.plugins.build",), (), (libraries.directory() / libraries.PLUGINS,)))
    engine = default_output(model, request.target, builder)
    words = ["maskrt.cli", "engine", str(model), "--target", request.target, "--output", str(engine)]
    steps.append(Step("engine", tuple(words), (model,), (engine,), finds_its_work=True))
    archive = package.default_output(engine)
    words = ["maskrt.cli", "package", str(engine), "--onnx", str(model), "--output", str(archive)]
    steps.append(Step("package", tuple(words), (engine, model), (archive,)))
    return steps


def _image_paths(arguments: Sequence[str]) -> Iterator[Path]:
    """Yield the files and folders of `--images`, with what a quoted glob stands for.

    Raises:
        ArgumentError: there is nothing.
    """
    for argument in arguments:
        found = [argument] if Path(argument).exists() else sorted(glob.glob(argument, recursive=True))  # noqa: PTH207
        if not found:
            raise ArgumentError(f"--images {argument}: there is no such file or folder.")
        yield from map(Path, found)


def _source_words(source: SourceOptions) -> list[str]:
    """Return the source as `maskrt export` and, behind `--source`, `maskrt compare` take it."""
    words = [source.source]
    for name in ("weights", "checkpoint", "checkpoint_key", "config", "num_classes", "class_names"):
        value = getattr(source, name)
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def _source_files(source: SourceOptions) -> tuple[Path, ...]:
    named: Sequence[Path | None] = (Path(source.source), source.checkpoint, source.config, source.class_names)
    return tuple(path for path in named if path is not None and path.is_file())
