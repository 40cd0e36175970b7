"""`maskrt evaluate`: COCO box and mask AP of model files, and of the PyTorch model, on a COCO-format data set.

    maskrt evaluate model.onnx model.int8.onnx --dataset annotations/instances_val2017.json --images val2017/

Every image's results are appended to a file as soon as they are there: after an interrupt, the same command goes on
where it stopped. Results of another model, data set, folder of images, threshold or version of a package are not taken
up.

A data set fits a model whose classes include all that it has annotations of, told by name. Missing images are an error
unless `--skip-missing` leaves them out. Crowd regions count as in COCO: what lies in them is neither right nor wrong.
Where an annotation has no mask, no mask AP is measured.

Exit code: 0, 2 where something the user gave does not work, 130 interrupted.

evaluate.json (AP values are 0–1, and null where no ground truth counts, for example no small objects):

    {"format": 1, "kind": "evaluate", "environment": {…},         see `environment.describe_environment`
     "dataset": {"name": "annotations.json", "file": "…/annotations.json", "images": 200, "missing_images": 0,
                 "annotations": 1234, "categories": ["disk", "ring", …]},       those that AP is the mean over
     "models": [{
        "name": "model.int8.onnx",              unique; "PyTorch" for the source model
        "file": "out/model.int8.onnx" | null,
        "precision": "int8",                    "fp32" for PyTorch
        "backend": "ONNX Runtime (CPUExecutionProvider)" | "PyTorch (cpu)" | …,
        "score_threshold": 0.05, "nms_threshold": 0.5,
        "box": {"AP": 0.63, "AP50": …, "AP75": …, "APs": …, "APm": …, "APl": …},
        "mask": {the same} | null,              null where the model, or an annotation, has no masks
        "per_class": [{"name": "disk", "box": 0.6, "mask": 0.6 | null}, …],
        "seconds_per_image": 0.06,              median, from decoded image to COCO records
        "results": "model.int8.onnx.results.json"}]}      beside evaluate.json; pycocotools' `loadRes` reads it
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from maskrt.command import run_verb
from maskrt.contract.manifest import sha256_of
from maskrt.errors import ArgumentError
from maskrt.evaluation.environment import describe_environment
from maskrt.evaluation.evaluate.log import ResultsLog
from maskrt.evaluation.metrics.coco import STATISTICS, AveragePrecision, box_and_mask_ap, without_masks
from maskrt.evaluation.metrics.dataset import CocoDataset, category_ids, common_categories, read_ground_truth
from maskrt.evaluation.metrics.predict import FilePredictor, Predictor, TorchPredictor, predict_images
from maskrt.evaluation.source_model import add_source_options, load_source
from maskrt.files import write_in_one_step
from maskrt.options import fraction, positive
from maskrt.runtime.inference.progress import count

EXTRA = "maskrt[evaluate,cpu]"
INTERRUPTED_NOTE = "the same command goes on from here"


def evaluate_model(
    predictor: Predictor, name: str, dataset: CocoDataset, output: Path, stream: TextIO = sys.stderr
) -> dict[str, Any]:
    """Runs a model over a data set, or over the rest of it, and scores the results.

    Args:
        predictor: the model.
        name: of the files `<name>.results.jsonl`, which an interrupted run leaves and the next one takes up, and
            `<name>.results.json`.
        dataset: from `read_ground_truth`.
        output: folder for the files.
        stream: where the progress is shown.

    Returns:
        The entry of "models" in evaluate.json, without "file"; see above.

    Raises:
        MaskrtError: the data set does not fit the model, or an image cannot be read.
        OSError: the files cannot be written.
    """
    categories = category_ids(dataset, predictor.class_names)
    key = {
        "model": predictor.sha256,
        "backend": predictor.backend,
        "dataset": sha256_of(dataset.path),
        "images": str(dataset.folder.resolve()),
        "categories": categories,
        "thresholds": list(predictor.thresholds),
        "packages": describe_environment()["packages"],
    }
    with ResultsLog(output / f"{name}.results.jsonl", key) as log:
        left = {number: file for number, file in dataset.files.items() if number not in log.seconds}
        if log.started_anew:
            print(f"{name}: starting anew, since this differs: {', '.join(log.started_anew)}", file=stream)
        elif not left:
            print(f"{name}: all images were done before; without {log.path} they are done anew", file=stream)
        elif len(left) < len(dataset.files):
            print(f"{name}: going on; {len(left)} of {len(dataset.files)} images are left", file=stream)
        for result in predict_images(predictor, left, categories, stream, dataset.sizes):
            log.append(result)
        results = [record for record in log.records() if record["image_id"] in dataset.files]
        seconds = [log.seconds[number] for number in dataset.files]
    results_path = output / f"{name}.results.json"
    write_in_one_step(results_path, json.dumps(results, ensure_ascii=False).encode())
    box, mask = box_and_mask_ap(dataset.truth, results)
    score_threshold, nms_threshold = predictor.thresholds
    return {
        "name": name,
        "precision": predictor.precision,
        "backend": predictor.backend,
        "score_threshold": score_threshold,
        "nms_threshold": nms_threshold,
        "box": box.overall,
        "mask": None if mask is None else mask.overall,
        "per_class": _per_class(dataset, box, mask),
        "seconds_per_image": statistics.median(seconds),
        "results": results_path.name,
    }


def _per_class(dataset: CocoDataset, box: AveragePrecision, mask: AveragePrecision | None) -> list[dict[str, Any]]:
    names = {entry["id"]: entry["name"] for entry in dataset.truth["categories"]}
    return [
        {"name": names[number], "box": value, "mask": None if mask is None else mask.per_class[number]}
        for number, value in box.per_class.items()
        if value is not None
    ]


def table(result: dict[str, Any]) -> str:
    """What evaluate.json says, for a terminal."""
    models = result["models"]
    width = max(len(model["name"]) for model in models)
    head = "".join(f"{name:>8}" for name in STATISTICS)
    lines = [f"{'model':{width}}  precision      {head}  ms/image"]
    for model in models:
        for kind in ("box", "mask"):
            if model[kind] is None:
                continue
            values = "".join(f"{_value(model[kind][name]):>8}" for name in STATISTICS)
            end = f"{1000 * model['seconds_per_image']:10.1f}" if kind == "box" else ""
            lines.append(f"{model['name']:{width}}  {model['precision']:9}  {kind:4}{values}{end}")
    return "\n".join(lines)


def _value(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("files", nargs="*", type=Path, metavar="file", help="model files: .onnx, .engine")
    parser.add_argument("--pytorch", action="store_true", help="evaluate the PyTorch model, too, as the reference")
    data = parser.add_argument_group("data set")
    data.add_argument("--dataset", type=Path, metavar="JSON", help="COCO annotations (default: the demo's scenes)")
    data.add_argument("--images", type=Path, metavar="FOLDER", help="of the images (default: searched for)")
    data.add_argument("--limit", type=positive, metavar="N", help="the first N images alone")
    data.add_argument("--skip-missing", action="store_true", help="leave out images that are not there")
    data.add_argument(
        "--common-classes", action="store_true", help="measure on the classes that both data set and model have"
    )
    parser.add_argument(
        "--score-threshold", type=fraction, metavar="S", help="least score, 0-1 (default: each model's own)"
    )
    parser.add_argument(
        "--nms-threshold", type=fraction, metavar="IOU", help="greatest overlap, 0-1 (default: each model's own)"
    )
    parser.add_argument("--output", type=Path, default=Path("out/evaluate"), help="folder (default: %(default)s)")
    parser.add_argument("--threads", type=positive, metavar="N", help="CPU threads (default: all cores)")
    add_source_options(parser)


def _open_dataset(options: argparse.Namespace) -> CocoDataset:
    path = options.dataset
    if path is None:
        if options.images is not None:
            raise ArgumentError("--images names the images of a --dataset, but none is given.")
        from maskrt.shapes.dataset import HELD_OUT_SCENES, write_dataset

        folder = options.output / "shapes"
        path = folder / "annotations.json"
        if not path.exists():
            print(f"Writing {HELD_OUT_SCENES} held-out scenes to {folder}", file=sys.stderr)
            write_dataset(folder, HELD_OUT_SCENES)
    dataset = read_ground_truth(path, options.images, skip_missing=options.skip_missing)
    if options.limit is not None:
        dataset = dataset.restrict(images=list(dataset.files)[: options.limit])
        if not dataset.truth["annotations"]:
            raise ArgumentError(f"The first {count(len(dataset.files), 'image')} of {path} have no annotations.")
    return dataset


def _predictors(options: argparse.Namespace) -> dict[str, Predictor]:
    """The models to evaluate, by a name for each."""
    thresholds = {"score_threshold": options.score_threshold, "nms_threshold": options.nms_threshold}
    predictors: dict[str, Predictor] = {}
    if options.pytorch:
        predictors["PyTorch"] = TorchPredictor(load_source(options), threads=options.threads, **thresholds)
    for file in options.files:
        if file.name in predictors:
            raise ArgumentError(f"Two files have the name {file.name}; give one of them another.")
        predictors[file.name] = FilePredictor(file, threads=options.threads, **thresholds)
    if not predictors:
        raise ArgumentError("There is nothing to evaluate: name a model file, or give --pytorch.")
    return predictors


def run(options: argparse.Namespace) -> int:
    """Evaluates, writes evaluate.json, prints the table; returns the exit code.

    Raises:
        MaskrtError: something the user gave does not work.
    """
    predictors = _predictors(options)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        dataset = _open_dataset(options)
        if options.common_classes:
            for predictor in predictors.values():
                dataset = common_categories(dataset, predictor.class_names)
        for predictor in predictors.values():
            category_ids(dataset, predictor.class_names)  # before hours of work end in an error
        if lacking := without_masks(dataset.truth):
            annotations = len(dataset.truth["annotations"])
            print(f"{lacking} of {annotations} annotations have no mask: no mask AP is measured.", file=sys.stderr)
        files = {file.name: str(file) for file in options.files}
        models = []
        for name, predictor in predictors.items():
            print(f"{name}: {count(len(dataset.files), 'image')}, {predictor.backend}", file=sys.stderr)
            models.append({"file": files.get(name), **evaluate_model(predictor, name, dataset, options.output)})
        result = {
            "format": 1,
            "kind": "evaluate",
            "environment": describe_environment(),
            "dataset": {
                "name": dataset.path.name,
                "file": str(dataset.path),
                "images": len(dataset.files),
                "missing_images": dataset.missing,
                "annotations": len(dataset.truth["annotations"]),
                "categories": [entry["name"] for entry in models[0]["per_class"]],
            },
            "models": models,
        }
        path = options.output / "evaluate.json"
        write_in_one_step(path, json.dumps(result, ensure_ascii=False, indent=1).encode())
    except OSError as error:
        raise ArgumentError(f"cannot write to {options.output}: {error.strerror or error}") from None
    print(table(result))
    print(f"\n{path}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `maskrt evaluate`; returns the exit code."""
    return run_verb("maskrt evaluate", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
