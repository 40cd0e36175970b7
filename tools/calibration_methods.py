"""What each way of calibrating costs in AP: the measurement that the default of `maskrt quantize` rests on.

    python -m maskrt.tools.calibration_methods model.onnx

The demo model in INT8, its ranges taken by each method from the same 64 training scenes, scored on 300 scenes that
serve nothing else: those after the held-out ones of all other figures. Beside them ONNX Runtime's `quantize_static`
with its MinMax calibration, for the same layers; it also quantizes their results, and leaves the rest FP32.

The difference from the default comes with its standard error: the scenes are dealt into ten parts, and AP is measured
on each. Results that are there already are taken up, so an interrupted run goes on where it stopped.

methods.json (AP values are 0–1):

    {"format": 1, "kind": "methods", "environment": {…},          see `evaluation.environment`
     "calibration_images": 64, "images": 300,
     "models": [{"name": "max", "precision": "int8", …,           as in evaluate.json, see `evaluation.results`
                 "from_default": {"box": [0.001, 0.002], "mask": [0.001, 0.002]}}]}     difference, standard error
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxruntime.quantization import CalibrationDataReader, quantize_static

from maskrt.calibration.calibrate import model_inputs
from maskrt.calibration.images import choose_images
from maskrt.calibration.layers import find_layers
from maskrt.calibration.model_file import load_exported, set_metadata
from maskrt.calibration.options import DEFAULT_METHOD, DEFAULT_PERCENTILE, CalibrationOptions
from maskrt.calibration.placement import find_addends
from maskrt.calibration.quantization import quantize
from maskrt.command import run_verb
from maskrt.errors import ArgumentError
from maskrt.evaluation.environment import describe_environment
from maskrt.evaluation.evaluate.run import evaluate_model
from maskrt.evaluation.metrics.coco import box_and_mask_ap
from maskrt.evaluation.metrics.dataset import CocoDataset, read_ground_truth
from maskrt.evaluation.metrics.predict import FilePredictor
from maskrt.evaluation.results.schema import to_json
from maskrt.files import write_in_one_step
from maskrt.options import add_output_option, add_thread_option, positive
from maskrt.shapes.dataset import HELD_OUT_SCENES, write_dataset

EXTRA = "maskrt[quantize,cpu,shapes]"
INTERRUPTED_NOTE = "the same command goes on from here"

METHODS: dict[str, dict[str, Any]] = {
    "max": {"method": "max"},
    "percentile 99.999": {"method": "percentile", "percentile": 99.999},
    "percentile 99.99": {"method": "percentile", "percentile": 99.99},
    "percentile 99.9": {"method": "percentile", "percentile": 99.9},
    "entropy": {"method": "entropy"},
}
"""Name → options of the calibration."""

DEFAULT = f"{DEFAULT_METHOD} {DEFAULT_PERCENTILE:g}"
"""The name of what `maskrt quantize` does."""

PARTS = 10
_KINDS = ("box", "mask")


def quantize_by_each_method(model: Path, images: Path, limit: int, folder: Path) -> dict[str, Path]:
    """Write an INT8 file for each of `METHODS`, and that of `quantize_static`, and the ranges found.

    Args:
        model: an exported FP32 file.
        images: folder of those to calibrate with.
        limit: how many of them are looked at.
        folder: for the files.

    Returns:
        The files by name, the model itself first.

    Raises:
        MaskrtError: as for `quantize`.
    """
    files = {"fp32": model}
    for name, options in METHODS.items():
        files[name] = folder / f"{name.replace(' ', '-')}.onnx"
        cache = folder / f"{name.replace(' ', '-')}.calibration.json"
        quantize(model, files[name], "int8", CalibrationOptions([images], limit, cache=cache, **options))
    files["quantize_static"] = folder / "quantize_static.onnx"
    _quantize_static(model, files["quantize_static"], images, limit)
    return files


def _quantize_static(model: Path, output: Path, images: Path, limit: int) -> None:
    """Symmetric, weights per channel; the layers and residual additions that maskrt quantizes."""
    original, metadata = load_exported(model)
    set_metadata(original, precision="int8")
    layers = find_layers(original.graph)
    additions = find_addends(original.graph, layers)
    inputs = model_inputs(original, metadata, choose_images([images], limit, seed=0), print)

    class Reader(CalibrationDataReader):
        def get_next(self) -> dict[str, Any] | None:
            return next(inputs, None)

    print(f"Calibrating with {limit} images of {images} (quantize_static)", file=sys.stderr)
    quantize_static(
        original,
        output,
        Reader(),
        per_channel=True,
        nodes_to_quantize=[*(layer.node for layer in layers), *(addition.node for addition in additions)],
        extra_options={"ActivationSymmetric": True, "QuantizeBias": False},
    )


def evaluate(
    files: Mapping[str, Path], dataset: CocoDataset, folder: Path, threads: int | None
) -> list[dict[str, Any]]:
    """Return the entries of "models" in methods.json.

    Args:
        files: model files by name, that of the default method among them.
        dataset: with at least `PARTS` images.
        folder: for the results of each model.
        threads: CPU threads; None: one per core.
    """
    records = []
    for name, file in files.items():
        print(f"{name}: {len(dataset.files)} images", file=sys.stderr)
        records.append(evaluate_model(FilePredictor(file, threads=threads), name, dataset, folder, file=file))
    models = [to_json(record) for record in records]
    (default,) = (model for model in models if model["name"] == DEFAULT)
    numbers = list(dataset.files)
    parts = [dataset.restrict(images=numbers[first::PARTS]) for first in range(PARTS)]
    by_part = {model["name"]: [_ap(part, folder / model["results"]) for part in parts] for model in models}
    for model in models:
        model["from_default"] = {}
        for kind in _KINDS:
            pairs = zip(by_part[model["name"]], by_part[DEFAULT], strict=True)
            error = statistics.stdev(part[kind] - default_part[kind] for part, default_part in pairs) / PARTS**0.5
            model["from_default"][kind] = [model[kind]["AP"] - default[kind]["AP"], error]
    return models


def _ap(part: CocoDataset, results: Path) -> dict[str, float]:
    records = json.loads(results.read_text(encoding="utf-8"))
    found = box_and_mask_ap(part.truth, [record for record in records if record["image_id"] in part.files])
    return {kind: (ap and ap.overall.AP) or 0.0 for kind, ap in zip(_KINDS, found, strict=True)}


def table(models: Sequence[dict[str, Any]]) -> str:
    """Return the entries of "models" in methods.json as a table in Markdown."""
    lines = ["| calibration | box AP | from default | mask AP | from default |", "|---|---|---|---|---|"]
    for model in models:
        cells = [model["name"]]
        for kind in _KINDS:
            difference, error = model["from_default"][kind]
            cells += [f"{model[kind]['AP']:.4f}", f"{difference:+.4f} ± {error:.4f}"]
        if model["name"] == DEFAULT:
            cells[2] = cells[4] = ""
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="the demo model as an FP32 ONNX file")
    parser.add_argument(
        "--calibration-limit", type=positive, default=64, metavar="N", help="scenes to calibrate with (default: 64)"
    )
    parser.add_argument("--limit", type=positive, default=300, metavar="N", help="scenes to score on (default: 300)")
    add_output_option(parser, Path("out/methods"), "folder")
    add_thread_option(parser)


def run(options: argparse.Namespace) -> int:
    """Measure, write methods.json, print the table; return the exit code.

    Raises:
        MaskrtError: something the user gave does not work.
    """
    folder: Path = options.output
    if options.limit < PARTS:
        raise ArgumentError(f"--limit {options.limit} is too few: the scenes are dealt into {PARTS} parts.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        print(f"Writing scenes to {folder}", file=sys.stderr)
        images = write_dataset(folder / "calibration", options.calibration_limit, "train").parent
        scenes = read_ground_truth(write_dataset(folder / "scenes", HELD_OUT_SCENES + options.limit))
        dataset = scenes.restrict(images=list(scenes.files)[HELD_OUT_SCENES:])
        files = quantize_by_each_method(options.model, images, options.calibration_limit, folder)
        result = {
            "format": 1,
            "kind": "methods",
            "environment": to_json(describe_environment()),
            "calibration_images": options.calibration_limit,
            "images": len(dataset.files),
            "models": evaluate(files, dataset, folder, options.threads),
        }
        path = folder / "methods.json"
        write_in_one_step(path, json.dumps(result, ensure_ascii=False, indent=1).encode())
    except OSError as error:
        raise ArgumentError(f"Cannot write to {folder}: {error.strerror or error}.") from None
    print(f"{table(result['models'])}\n\n{path}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_verb("python -m maskrt.tools.calibration_methods", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
