"""`maskrt compare`: model files against the PyTorch model that they came from, on the same images, with a verdict.

    maskrt compare model.onnx model.fp16.onnx model.int8.onnx --source mypackage.models:make_model --images photos/

Raw tensors are compared on the same canvas, and behind the proposals on the source model's own RoIs; detections are
compared from pixels to pasted masks. Of a TensorRT engine, whose tensors nobody can ask for, the canvas, the detections
and the pasting are compared. A file of another model (other outputs, classes or weights) is refused at once.

The results are compare.json (`maskrt.evaluation.results.compare`).

Exit code: 0 every file is within its budget, 1 some file is not, 2 nothing was compared (usage, model, files).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from maskrt.command import run_verb
from maskrt.errors import ArgumentError
from maskrt.evaluation.compare.budget import read_budgets
from maskrt.files import check_writable, remove_stale
from maskrt.options import (
    add_image_options,
    add_model_files,
    add_output_option,
    add_source_options,
    add_thread_option,
    fraction,
    source_options,
)
from maskrt.runtime.images.read import check_file
from maskrt.runtime.inference.find import find_images
from maskrt.terminal import say

EXTRA = "maskrt[evaluate,cpu]"
INTERRUPTED_NOTE = "nothing was written"

FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add_model_files(parser, nargs="+")
    add_image_options(parser, what="image files, folders, quoted globs", limit=8)
    parser.add_argument(
        "--budget",
        action="append",
        default=[],
        metavar="[PRECISION:]NAME=VALUE",
        help="snr_db, proposals, unmatched, box_px, score, mask_iou or keypoint_size, for example int8:mask_iou=0.9",
    )
    parser.add_argument(
        "--score-threshold",
        type=fraction,
        default=0.5,
        metavar="S",
        help="detections of at least this score must be found again (default: %(default)s)",
    )
    add_output_option(parser, Path("out/compare"), "folder for the results")
    add_thread_option(parser)
    add_source_options(parser)


def run(options: argparse.Namespace) -> int:
    """Compare, write compare.json, print the table; return the exit code.

    Raises:
        MaskrtError: something the user gave does not work.
    """
    budgets = read_budgets(options.budget)
    source = source_options(options)
    if source is None:
        raise ArgumentError(
            "There is nothing to compare with: name the PyTorch model that the files were exported from with --source, "
            "as for `maskrt export`."
        )
    images = choose_images(options.images, options.limit)
    from maskrt.evaluation.compare.run import Request, compare
    from maskrt.evaluation.compare.table import table
    from maskrt.evaluation.results.files import write_result
    from maskrt.export.families.base import load_source

    files = list(dict.fromkeys(options.models))
    request = Request(load_source(source), files, images, budgets, options.score_threshold, options.threads)
    output: Path = options.output
    try:
        output.mkdir(parents=True, exist_ok=True)
        remove_stale(output)
        path = output / "compare.json"
        check_writable(path, [*files, *images])
        result = compare(request, sys.stderr)
        write_result(path, result)
    except OSError as error:
        raise ArgumentError(f"cannot write to {output}: {error.strerror or error}") from None
    say(*table(result), "", str(path))
    return FAILED if any(candidate.verdict == "fail" for candidate in result.candidates) else 0


def choose_images(arguments: Sequence[str] | None, limit: int) -> list[Path]:
    """Choose at most `limit` of the image files that were given, evenly spread.

    Raises:
        ArgumentError: there is none.
        ImageError: one of them is not there, or no file.
    """
    if arguments is None:
        raise ArgumentError("There is nothing to compare on: give --images with files, folders or quoted globs.")
    files, problems = find_images(arguments)
    if problems or not files:
        raise ArgumentError(problems[0] if problems else "There is no image to compare on.")
    count = min(limit, len(files))
    chosen = [files[number * len(files) // count] for number in range(count)]
    for file in chosen:
        check_file(file)
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `maskrt compare`; return the exit code."""
    return run_verb("maskrt compare", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
