"""Latency, throughput and peak memory of model files, beside each other and beside torchvision, in one run.

    python -m maskrt.evaluation.bench.cli model.onnx model.int8.onnx --against torchvision --batch 1 8 -o bench.json

Each side goes from image files to COCO run-length encodings: decode, preprocess, infer, postprocess, rle. All sides
take the same batches in turns; peak memory is measured in a process of its own. With --operations, single operations of
the runtime are timed beside the functions of torchvision and pycocotools that they replace (on the CPU).

bench.json (seconds are {"median", "p90", "p99"}; ratios are {"median", "least", "most"}, turn by turn):

    {"format": 1, "kind": "bench", "environment": {…},         see `environment.describe_environment`
     "settings": {"threads": 2 | null, "repeats": 30, "warm_up": 8, "pictures": 8},
     "pipeline": [{                              see `bench_pipeline.measure_pipeline`
        "name": "model.int8.onnx" | "PyTorch" | "PyTorch compiled", "precision", "backend",
        "batch": 1, "picture_size": [height, width] | null,     null: the pictures as they are
        "detections_per_image": 4.5,
        "seconds": {"decode": …, "preprocess": …, "infer": …, "postprocess": …, "rle": …, "total": …},    of a batch
        "images_per_second": 15.2, "overlapped_images_per_second": 16.0 | null,
        "speedup": {"reference": "PyTorch", …},
        "peak_memory": {"host": bytes, "device": bytes | null}}],
     "failed": [{"name", "batch", "picture_size", "reason"}],
     "operations": [{                            see `bench_operation.compare_operation`
        "operation", "image_size", "reference", "reference_seconds", "seconds", "ratio"}]}

Exit code: 0, 1 where a side could not run a batch, 2 where nothing could be done, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from maskrt.command import run_verb
from maskrt.errors import ArgumentError, DependencyError
from maskrt.evaluation.bench.pictures import gather_pictures, make_batches, resize_pictures
from maskrt.evaluation.bench.pipeline import measure_pipeline
from maskrt.evaluation.bench.sides import Side, limit_opencv_threads, open_segmenter
from maskrt.evaluation.bench.table import operations_table, pipeline_table
from maskrt.evaluation.environment import describe_environment
from maskrt.evaluation.source_model import add_source_options
from maskrt.files import write_in_one_step
from maskrt.options import positive

EXTRA = "maskrt[evaluate,cpu]"
INTERRUPTED_NOTE = "no result was written"


FORMAT = 1
OPERATION_REPEATS = 7
"""At most: torchvision pastes 100 masks at 4K in seconds."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `maskrt bench`; returns the exit code."""
    return run_verb("maskrt bench", sys.modules[__name__], arguments)


def run(options: argparse.Namespace) -> int:
    """Measure, write the results; return the exit code."""
    try:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        result = measure(options)
        write_in_one_step(options.output, json.dumps(result, indent=1, ensure_ascii=False).encode())
    except OSError as error:
        raise ArgumentError(
            f"{error.filename or options.output} cannot be written: {error.strerror or error}"
        ) from None
    print(f"\nresults: {options.output}")
    return 1 if result["failed"] else 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; returns the content of bench.json.

    Raises:
        MaskrtError: an argument, a model or an image does not work.
    """
    if not options.models and not options.against and not options.operations:
        raise ArgumentError("There is nothing to measure: give model files, --against torchvision, or --operations.")
    result: dict[str, Any] = {
        "format": FORMAT,
        "kind": "bench",
        "environment": describe_environment(),
        "settings": {
            "threads": options.threads,
            "repeats": options.repeats,
            "warm_up": options.warm_up,
            "pictures": options.pictures,
        },
        "pipeline": [],
        "failed": [],
        "operations": [],
    }
    openers = _openers(options)
    if openers:
        sides = [opener() for opener in openers]
        _check_same_work(sides)
        with tempfile.TemporaryDirectory() as folder:
            _measure_all(options, openers, sides, Path(folder), result)
    if options.operations:
        result["operations"] = _measure_operations(options.threads, min(options.repeats, OPERATION_REPEATS))
        print(f"\n{operations_table(result['operations'])}")
    return result


def _openers(options: argparse.Namespace) -> list[Callable[[], Side]]:
    """PyTorch first: it is what the others are compared with."""
    openers: list[Callable[[], Side]] = []
    if options.against:
        try:
            from maskrt.evaluation.bench.torchvision import open_torchvision
        except ImportError as error:
            raise DependencyError(
                f"Comparing with torchvision needs {error.name}: `pip install maskrt[export,shapes]`."
            ) from None
        openers += [
            partial(open_torchvision, options, side == "torchvision-compile", options.threads)
            for side in options.against
        ]
    shared = Counter(path.name for path in options.models)
    for path in options.models:
        name = path.name if shared[path.name] == 1 else str(path)
        openers.append(partial(open_segmenter, path, name, options.threads))
    return openers


def _check_same_work(sides: Sequence[Side]) -> None:
    """A comparison with PyTorch means something for the same weights and sizes only."""
    of_torch = [side for side in sides if side.backend.startswith("PyTorch")]
    for side in sides:
        if of_torch and side.work != of_torch[0].work:
            raise ArgumentError(
                f"{side.name} was not exported from the PyTorch model: it has {side.work}, the PyTorch model has "
                f"{of_torch[0].work}. Give that model with --model (and --weights or --checkpoint), as for "
                "`maskrt export`, or export the file again."
            )


def _measure_all(
    options: argparse.Namespace,
    openers: Sequence[Callable[[], Side]],
    sides: Sequence[Side],
    folder: Path,
    result: dict[str, Any],
) -> None:
    """Fill in `pipeline` and `failed`, for every size and batch, and print a table for each."""
    files = gather_pictures(options.images, options.pictures, folder)
    for size in options.size or [None]:
        pictures = files if size is None else resize_pictures(files, size, folder)
        for batch in options.batch:
            batches = make_batches(pictures, batch)
            records, failed = measure_pipeline(openers, sides, batches, options.repeats, options.warm_up)
            for record in (*records, *failed):
                record["picture_size"] = None if size is None else list(size)
            result["pipeline"] += records
            result["failed"] += failed
            title = f"batch {batch}, pictures " + ("as they are" if size is None else f"of {size[0]}x{size[1]}")
            print(f"\n{title}, {options.repeats} repeats")
            if records:
                print(pipeline_table(records))
            for record in failed:
                print(f"failed: {record['name']}: {record['reason']}", file=sys.stderr)


def _measure_operations(threads: int | None, repeats: int) -> list[dict[str, Any]]:
    try:
        import torch

        from maskrt.evaluation.bench.paste import measure_paste
        from maskrt.evaluation.bench.preprocess import measure_preprocess
    except ImportError as error:
        raise DependencyError(f"--operations needs {error.name}: `pip install maskrt[export,shapes]`.") from None
    limit_opencv_threads(threads)
    if threads is not None:
        torch.set_num_threads(threads)
    return [*measure_preprocess(repeats), *measure_paste(repeats)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("models", nargs="*", type=Path, metavar="MODEL", help="model file: .onnx or .engine")
    parser.add_argument(
        "--against",
        nargs="+",
        choices=["torchvision", "torchvision-compile"],
        default=[],
        help="PyTorch on the same device: eager in FP32, or torch.compile with FP16 autocast",
    )
    parser.add_argument("--batch", nargs="+", type=positive, default=[1], metavar="N", help="(default: 1)")
    parser.add_argument(
        "--size",
        nargs="+",
        type=_size,
        metavar="HEIGHTxWIDTH",
        help="stretch the pictures to these sizes (default: as they are)",
    )
    parser.add_argument(
        "--images", nargs="+", default=[], metavar="IMAGE", help="files, folders, globs (default: scenes of the demo)"
    )
    parser.add_argument(
        "--pictures", type=positive, default=8, metavar="N", help="how many of them (default: %(default)s)"
    )
    parser.add_argument(
        "--repeats", type=positive, default=30, metavar="N", help="turns measured (default: %(default)s)"
    )
    parser.add_argument(
        "--warm-up", type=positive, default=8, metavar="N", help="turns before them (default: %(default)s)"
    )
    parser.add_argument("--threads", type=positive, metavar="N", help="CPU threads of each side (default: all cores)")
    parser.add_argument(
        "--operations", action="store_true", help="also time single operations of the runtime, in at most 7 turns"
    )
    parser.add_argument("--output", type=Path, default=Path("out/bench.json"), help="(default: %(default)s)")
    add_source_options(parser)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if not match:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH in pixels, for example 800x1333, got {text}")
    return int(match[1]), int(match[2])


if __name__ == "__main__":
    sys.exit(main())
