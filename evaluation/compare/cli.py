"""`maskrt compare`: model files against the PyTorch model that they came from, on the same images, with a verdict.

    maskrt compare model.onnx model.fp16.onnx model.int8.onnx --model mypackage.models:make_model --images photos/

Raw tensors are compared on the same canvas, and behind the proposals on the source model's own RoIs (see
`compare_points`); detections are compared from pixels to pasted masks. Of a TensorRT engine, whose tensors nobody can
ask for, the canvas, the detections and the pasting are compared.

Exit code: 0 every file is within its budget, 1 some file is not, 2 nothing was compared (usage, model, files).

compare.json:

    {"format": 1, "kind": "compare", "environment": {…},         see `environment.describe_environment`
     "reference": {"name": "PyTorch", "model": "maskrt.shapes.model:shapes_model"},
     "score_threshold": 0.5,                    detections of the reference that must be found again
     "candidates": [{
        "name": "model.int8.onnx",              unique; the key in "images"
        "file": "out/model.int8.onnx",
        "precision": "int8",
        "backend": "ONNX Runtime (CPUExecutionProvider)",
        "verdict": "pass" | "fail",
        "reasons": ["…", …],                    one sentence for each budget that was missed; empty for "pass"
        "budget": {"snr_db": 12.0, …},          see `compare_budget.Budget`
        "first_difference": null | "backbone.fpn.layer_blocks.0.0",     the first place that misses its budget: a module
                                                of the source model, "images" (resized), "proposals", "class names",
                                                "pasted masks", "detections" (decoding, NMS, thresholds)
        "tensors": [{                           in the order of the graph; each the worst over all images
            "name": "backbone.fpn.layer_blocks.0.0",    module of the source model; "images", "proposals"
            "onnx": "conv2d_23",                tensor of the ONNX file, null for "images"
            "max_abs": …, "mean_abs": …, "max_rel": …, "mean_rel": …,   as Polygraphy defines them; null: not finite
            "snr_db": 66.5,                     signal to noise, dB; 200: equal to the last bit, -200: of another
                                                shape, or not finite
            "found": 0.99 | null,               of "proposals" alone: share of them that the file proposes too
            "image": "00003.png",               on which snr_db was lowest
            "within_budget": true}, …],         [] for a TensorRT engine
        "detections": {"reference": 40, "matched": 40, "missing": 0, "extra": 0,        over all images
            "box_px": 0.1, "box_px_max": 0.8,   nine of ten matched boxes differ by at most the first, all by at most
                                                the second; largest of four coordinates, pixels of the canvas
            "score": 0.001, "score_max": 0.01,          the same for scores
            "mask_iou": 0.99, "mask_iou_min": 0.9},     at least these; null without masks, or with nothing matched
        "pasting_iou": 0.9999 | null,           the file's masks, pasted by maskrt and by torchvision: least IoU
        "worst_image": {"file": "00003.png", "matched": 4, "missing": 0, …}}],     as "detections"; null without any
     "not_compared": [{"name": "TensorRT", "why": "…"}],
     "images": [{"file": "00000.png",           below "image_folder", or absolute
        "height": 320, "width": 480,
        "instances": {"PyTorch": [{"box": [x1, y1, x2, y2], "score": 0.9, "label": 3, "name": "ring",
                                   "rle": {"size": [h, w], "counts": "…"} | null}, …],
                      "model.int8.onnx": […]}}],        of any score: counterparts may lie below the threshold
     "image_folder": "out/compare/images"}
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from maskrt.command import run_verb
from maskrt.engines.gpu import local_gpu
from maskrt.errors import ArgumentError, MaskrtError
from maskrt.evaluation.compare.budget import DEFAULT_BUDGETS, Budget, read_budgets
from maskrt.evaluation.compare.table import table
from maskrt.evaluation.environment import describe_environment
from maskrt.evaluation.metrics.dataset import read_coco
from maskrt.evaluation.source_model import SourceModel, add_source_options, load_source
from maskrt.files import write_in_one_step
from maskrt.options import fraction, positive
from maskrt.runtime import read_image
from maskrt.runtime.inference.progress import Progress
from maskrt.runtime.inference.sources import find_images

if TYPE_CHECKING:
    from maskrt.evaluation.compare.candidate import Candidate

EXTRA = "maskrt[evaluate,cpu]"
INTERRUPTED_NOTE = "nothing was written"


FAILED = 1


def compare(
    source: SourceModel,
    files: Sequence[Path],
    images: Sequence[Path],
    *,
    budgets: Mapping[str, Budget] = DEFAULT_BUDGETS,
    score_threshold: float = 0.5,
    threads: int | None = None,
    stream: TextIO = sys.stderr,
) -> dict[str, Any]:
    """Compares model files with their source model.

    Args:
        source: the reference.
        files: `.onnx` and `.engine` files.
        images: image files, at least one.
        budgets: by precision.
        score_threshold: detections of at least this score must be found again.
        threads: CPU threads of PyTorch and ONNX Runtime; None: one per core.
        stream: where the progress is shown.

    Returns:
        The content of compare.json; see above.

    Raises:
        MaskrtError: a model file or an image cannot be read, or no file can be compared here.
    """
    import torch

    from maskrt.evaluation.compare.candidate import Candidate, Reference
    from maskrt.export.exporter import weights_hash

    if threads is not None:
        torch.set_num_threads(threads)
    candidates: list[Candidate] = []
    not_compared = [] if any(map(_is_engine, files)) else [{"name": "TensorRT", "why": _NO_ENGINE}]
    for file, name in zip(files, _unique(files), strict=True):
        try:
            candidates.append(Candidate(file, name, budgets, score_threshold, threads))
        except MaskrtError as error:
            if not _is_engine(file) or local_gpu() is not None:
                raise
            not_compared.append({"name": name, "why": f"There is no NVIDIA GPU here to run it on. {error}"})
    if not candidates:
        raise ArgumentError(f"Nothing can be compared here: {not_compared[0]['why']}")

    if len({image.is_absolute() for image in images}) > 1:
        images = [image.absolute() for image in images]  # a common folder has to be of one kind
    weights = weights_hash(source.model)
    for candidate in candidates:
        if candidate.segmenter.metadata.weights_sha256 != weights:
            stream.write(
                f"{candidate.name} was exported from other weights than those of {source.source}: are --model and "
                "--checkpoint those of this file?\n"
            )

    folder = Path(os.path.commonpath([image.parent for image in images]))
    compared: list[dict[str, Any]] = []
    progress = Progress(len(images), stream)
    try:
        for image in images:
            reference = Reference(source, read_image(image))
            name = str(image.relative_to(folder))
            found = {"PyTorch": (reference.records, source.names_beside(candidates[0].segmenter.class_names))}
            for candidate in candidates:
                found[candidate.name] = candidate.add(name, reference), candidate.segmenter.class_names
            instances = {side: _instances(*records) for side, records in found.items()}
            height, width = reference.image.shape[:2]
            compared.append({"file": name, "height": height, "width": width, "instances": instances})
            progress.step(f"{image}: {len(instances['PyTorch'])} instances")
    finally:
        progress.close()
    for candidate in candidates:
        missed = candidate.first_in_network
        if missed is not None:
            candidate.look_closer(missed, source, read_image(folder / missed.image))
    return {
        "format": 1,
        "kind": "compare",
        "environment": describe_environment(),
        "reference": {"name": "PyTorch", "model": source.source},
        "score_threshold": score_threshold,
        "candidates": [candidate.result() for candidate in candidates],
        "not_compared": not_compared,
        "images": compared,
        "image_folder": str(folder),
    }


_NO_ENGINE = (
    "No engine was given. On a machine with an NVIDIA GPU, build one with `maskrt engine` and name it beside the ONNX "
    "files."
)


def _is_engine(file: Path) -> bool:
    return file.suffix.lower() == ".engine"


def _unique(files: Sequence[Path]) -> list[str]:
    """A name for each file: that of the file, or where two share one, the path."""
    names = Counter(file.name for file in files)
    return [file.name if names[file.name] == 1 else str(file) for file in files]


def _instances(records: Sequence[dict[str, Any]], class_names: Sequence[str]) -> list[dict[str, Any]]:
    """As "instances" of compare.json has them."""
    instances = []
    for record in records:
        x, y, width, height = record["bbox"]
        instances.append(
            {
                "box": [x, y, x + width, y + height],
                "score": record["score"],
                "label": record["category_id"],
                "name": class_names[record["category_id"]],
                "rle": record.get("segmentation"),
            }
        )
    return instances


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("files", nargs="+", type=Path, metavar="file", help="model files: .onnx, .engine")
    parser.add_argument(
        "--images", nargs="+", metavar="PATH", help="image files, folders, quoted globs (default: the demo's scenes)"
    )
    parser.add_argument("--count", type=positive, default=8, metavar="N", help="images at most (default: %(default)s)")
    parser.add_argument(
        "--budget",
        action="append",
        default=[],
        metavar="[PRECISION:]NAME=VALUE",
        help="snr_db, proposals, unmatched, box_px, score or mask_iou, for example int8:mask_iou=0.9",
    )
    parser.add_argument(
        "--score-threshold",
        type=fraction,
        default=0.5,
        metavar="S",
        help="detections of at least this score must be found again (default: %(default)s)",
    )
    parser.add_argument("--output", type=Path, default=Path("out/compare"), help="folder (default: %(default)s)")
    parser.add_argument("--threads", type=positive, metavar="N", help="CPU threads (default: all cores)")
    add_source_options(parser)


def _choose_images(options: argparse.Namespace) -> list[Path]:
    """The images to compare on, evenly spread over those that were given."""
    if options.images is None:
        from maskrt.shapes.dataset import write_dataset

        return list(read_coco(write_dataset(options.output / "images", options.count)).files.values())
    files, problems = find_images(options.images)
    if problems or not files:
        raise ArgumentError(problems[0] if problems else "There is no image to compare on.")
    count = min(options.count, len(files))
    return [files[number * len(files) // count] for number in range(count)]


def run(options: argparse.Namespace) -> int:
    """Compares, writes compare.json, prints the table; returns the exit code.

    Raises:
        MaskrtError: something the user gave does not work.
    """
    budgets = read_budgets(options.budget)
    source = load_source(options)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        images = _choose_images(options)
        result = compare(
            source,
            list(dict.fromkeys(options.files)),
            images,
            budgets=budgets,
            score_threshold=options.score_threshold,
            threads=options.threads,
        )
        path = options.output / "compare.json"
        write_in_one_step(path, json.dumps(result, ensure_ascii=False, indent=1).encode())
    except OSError as error:
        raise ArgumentError(f"cannot write to {options.output}: {error.strerror or error}") from None
    print(table(result))
    print(f"\n{path}")
    return FAILED if any(candidate["verdict"] == "fail" for candidate in result["candidates"]) else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `maskrt compare`; returns the exit code."""
    return run_verb("maskrt compare", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
