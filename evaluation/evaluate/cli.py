"""`maskrt evaluate`: COCO box and mask AP of model files, and of the PyTorch model, on a COCO-format data set.

    maskrt evaluate model.onnx model.int8.onnx --dataset annotations/instances_val2017.json --images val2017/

With --source, the PyTorch model is evaluated, too, as the reference.

Every image's results are appended to a file as soon as they are there: after an interrupt, the same command goes on
where it stopped. Results of another model, data set, folder of images, threshold or version of a package are not taken
up.

A data set fits a model whose classes include all that it has annotations of, told by name. Missing images are an error
unless `--skip-missing` leaves them out. Crowd regions count as in COCO: what lies in them is neither right nor wrong.
Where an annotation has no mask, no mask AP is measured. As in COCO, the 100 best detections of a class in an image
count; `--max-detections` says otherwise. With `--metric cityscapes`, Cityscapes' own AP of masks is measured, too, on a
data set that `python -m maskrt.evaluation.metrics.cityscapes` made.

The results are evaluate.json (`maskrt.evaluation.results.evaluate`), and the detections of each model beside it.

Exit code: 0, 2 where something the user gave does not work, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maskrt.command import run_verb
from maskrt.errors import ArgumentError
from maskrt.files import check_writable, remove_stale
from maskrt.options import (
    SourceOptions,
    Thresholds,
    add_model_files,
    add_output_option,
    add_source_options,
    add_thread_option,
    add_threshold_options,
    named_path,
    positive,
    source_options,
    thresholds,
)
from maskrt.terminal import say

if TYPE_CHECKING:
    from maskrt.evaluation.metrics.predict import Predictor

EXTRA = "maskrt[evaluate,cpu]"
METRICS = ("coco", "cityscapes")
INTERRUPTED_NOTE = "the same command goes on from here"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add_model_files(parser, nargs="*")
    data = parser.add_argument_group("data set")
    data.add_argument("--dataset", type=named_path, metavar="JSON", help="COCO annotations")
    data.add_argument("--images", type=named_path, metavar="FOLDER", help="of the images (default: searched for)")
    data.add_argument("--limit", type=positive, metavar="N", help="take the first N images (default: all)")
    data.add_argument("--skip-missing", action="store_true", help="leave out images that are not there")
    data.add_argument(
        "--common-classes", action="store_true", help="measure on the classes that both data set and model have"
    )
    data.add_argument(
        "--max-detections",
        type=positive,
        default=100,
        metavar="N",
        help="of a class in an image that count (default: 100)",
    )
    data.add_argument(
        "--metric",
        choices=METRICS,
        default="coco",
        help="cityscapes: Cityscapes' own AP of masks, beside COCO's (default: %(default)s)",
    )
    add_threshold_options(parser)
    add_output_option(parser, Path("out/evaluate"), "folder for the results")
    add_thread_option(parser)
    add_source_options(parser)


def run(options: argparse.Namespace) -> int:
    """Evaluate, write evaluate.json, print the table; return the exit code.

    Raises:
        MaskrtError: something the user gave does not work.
    """
    source = source_options(options)
    if options.dataset is None:
        raise ArgumentError("There is nothing to evaluate on: give --dataset with a file of COCO annotations.")
    if source is None and not options.models:
        raise ArgumentError("There is nothing to evaluate: name a model file, or give --source.")
    from maskrt.evaluation.evaluate.run import DatasetRequest, evaluate, open_dataset
    from maskrt.evaluation.evaluate.table import table
    from maskrt.evaluation.results.files import write_result

    request = DatasetRequest(options.dataset, options.images, options.limit, options.skip_missing)
    predictors = _predictors(source, options.models, thresholds(options), options.threads)
    output: Path = options.output
    try:
        output.mkdir(parents=True, exist_ok=True)
        remove_stale(output)
        check_writable(output / "evaluate.json", [*options.models, options.dataset])
        files = {file.name: file for file in options.models}
        dataset = open_dataset(request)
        result = evaluate(
            predictors,
            files,
            dataset,
            output,
            common_classes=options.common_classes,
            max_detections=options.max_detections,
            cityscapes=options.metric == "cityscapes",
            stream=sys.stderr,
        )
        path = output / "evaluate.json"
        write_result(path, result)
    except OSError as error:
        raise ArgumentError(f"cannot write to {output}: {error.strerror or error}") from None
    say(*table(result), "", str(path))
    return 0


def _predictors(
    source: SourceOptions | None, files: Sequence[Path], given: Thresholds, threads: int | None
) -> dict[str, Predictor]:
    """Open the models to evaluate, by a name for each."""
    from maskrt.evaluation.metrics.predict import FilePredictor
    from maskrt.evaluation.results import PYTORCH

    predictors: dict[str, Predictor] = {}
    if source is not None:
        from maskrt.evaluation.evaluate.source import SourcePredictor
        from maskrt.export.families.base import load_source

        predictors[PYTORCH] = SourcePredictor(load_source(source), given, threads)
    for file in files:
        if file.name in predictors:
            raise ArgumentError(f"Two files have the name {file.name}; give one of them another.")
        predictors[file.name] = FilePredictor(
            file, score_threshold=given.score, nms_threshold=given.nms, threads=threads
        )
    return predictors


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `maskrt evaluate`; return the exit code."""
    return run_verb("maskrt evaluate", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
