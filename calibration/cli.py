"""`maskrt quantize`: an exported FP32 ONNX file becomes one of lower precision, and what it costs is measured.

    maskrt quantize model.onnx --precision int8 --images photos/ --dataset annotations.json --max-ap-drop 0.003

Where layers are quantized (int8, fp8), their ranges are measured on images like those that the model will see: image
files, folders, quoted globs, COCO annotations for their images, or videos. The choice of layers is written beside the
model file; `--layers` takes it over in another run.

Exit code: 0 the file was written, 1 the file was written but loses more than --max-ap-drop, 2 something the user gave
does not work, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maskrt.calibration.options import DEFAULT_METHOD, DEFAULT_PERCENTILE, METHODS, SENSIBLE_COUNT, CalibrationOptions
from maskrt.command import run_verb
from maskrt.contract.precision import PRECISIONS, SOURCE_PRECISION
from maskrt.errors import ArgumentError
from maskrt.files import check_writable
from maskrt.options import add_image_options, add_output_option, fraction, named_path, number
from maskrt.terminal import say

if TYPE_CHECKING:
    from maskrt.calibration.accuracy import Measure
    from maskrt.calibration.quantization import QuantizationResult

EXTRA = "maskrt[quantize,cpu]"
INTERRUPTED_NOTE = "no model was written"

BUDGET_MISSED = 1
"""Exit code where a budget was given and no choice of layers meets it; the best file is written all the same."""

DEFAULT_PRECISION = "int8"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("model", type=named_path, metavar="MODEL", help="FP32 ONNX file that `maskrt export` wrote")
    add_output_option(parser, None, "file to write (default: MODEL with the precision in its name)")
    names = [name for name in PRECISIONS if name != SOURCE_PRECISION]
    parser.add_argument("--precision", choices=names, default=DEFAULT_PRECISION, help="(default: %(default)s)")
    parser.add_argument("--target", nargs="+", metavar="GPU", help="check that one of these GPUs has the precision")

    images = parser.add_argument_group(
        "calibration", f"of {', '.join(row.name for row in PRECISIONS.values() if row.calibrated)}"
    )
    add_image_options(images, what="images, folders, globs, COCO annotations, videos", limit=SENSIBLE_COUNT)
    images.set_defaults(limit=None)  # what was not given shows
    images.add_argument("--seed", type=int, metavar="N", help="of the choice among the images (default: 0)")
    images.add_argument("--method", choices=METHODS, help=f"how ranges follow from values (default: {DEFAULT_METHOD})")
    images.add_argument(
        "--percentile",
        type=_percentile,
        metavar="P",
        help=f"values inside, for --method percentile (default: {DEFAULT_PERCENTILE})",
    )
    images.add_argument("--cache", type=named_path, metavar="FILE", help="ranges found (default: beside the output)")

    accuracy = parser.add_argument_group("accuracy")
    accuracy.add_argument("--dataset", type=named_path, metavar="JSON", help="COCO annotations: AP before and after")
    accuracy.add_argument(
        "--max-ap-drop", type=fraction, metavar="D", help="keep layers in fp16 until AP falls by D at the most"
    )
    accuracy.add_argument("--layers", type=named_path, metavar="JSON", help="the choice of layers of an earlier run")


def _percentile(text: str) -> float:
    return number(text, 90, 100)


def run(options: argparse.Namespace) -> int:
    """Quantize; return the exit code.

    Raises:
        MaskrtError: something the user gave does not work.
    """
    model: Path = options.model
    precision: str = options.precision
    output: Path = options.output or model.with_name(f"{model.stem}.{precision}.onnx")
    if options.cache is not None:  # neither a data set nor what lists the images
        check_writable(options.cache, [Path(path) for path in (options.dataset, *(options.images or ())) if path])
    if options.target:
        _check_targets(options.target, precision)
    from maskrt.calibration.quantization import check_uncalibrated, quantize

    if not PRECISIONS[precision].calibrated:
        names = (*_CALIBRATION, "layers", "max_ap_drop")
        given = [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) is not None]
        check_uncalibrated(precision, given)
    result = quantize(
        model,
        output,
        precision,
        _calibration_options(options),
        layers=options.layers,
        measure=None if options.dataset is None else accuracy_on(options.dataset),
        max_ap_drop=options.max_ap_drop,
    )
    _report(result, precision, model)
    return _verdict(result, options.max_ap_drop)


_CALIBRATION = ("images", "limit", "seed", "method", "percentile", "cache")


def _calibration_options(options: argparse.Namespace) -> CalibrationOptions | None:
    """None where no images were given."""
    given = {name: getattr(options, name) for name in _CALIBRATION if getattr(options, name) is not None}
    method = given.get("method", DEFAULT_METHOD)
    if "percentile" in given and method != "percentile":
        raise ArgumentError(f"--percentile goes with --method percentile, but the method is {method}.")
    if "images" not in given:
        return None
    return CalibrationOptions(**{**given, "images": list(_files(given["images"]))})


def _files(sources: Sequence[str]) -> Iterator[Path]:
    """Yield what was given, with the images of COCO annotations in their place."""
    from maskrt.evaluation.metrics.dataset import read_coco

    for source in map(Path, sources):
        if source.suffix.lower() == ".json":
            yield from sorted(read_coco(source).files.values())
        else:
            yield source


def accuracy_on(annotations: Path) -> Measure:
    """How AP on a COCO data set is measured: every image through the model file, by the runtime itself.

    What the data set cannot measure of a model, its masks or keypoints, is said on standard error, once.

    Raises:
        ArgumentError: it is no data set that AP can be measured with.
    """
    from maskrt.calibration.accuracy import Accuracy
    from maskrt.evaluation.metrics.coco import (
        box_and_mask_ap,
        keypoint_ap,
        keypoints_not_measured,
        masks_not_measured,
    )
    from maskrt.evaluation.metrics.dataset import category_ids, read_ground_truth
    from maskrt.evaluation.metrics.predict import FilePredictor, predict_images

    dataset = read_ground_truth(annotations)
    say(*dataset.notes, file=sys.stderr)
    told: set[str] = set()

    def measure(file: Path) -> Accuracy:
        predictor = FilePredictor(file)
        categories = category_ids(dataset, predictor.class_names)
        images = predict_images(predictor, dataset.files, categories, sys.stderr, dataset.sizes)
        records = [record for image in images for record in image.records]
        # All detections count: of a crowded image, what quantization loses may be the 101st.
        box, mask = box_and_mask_ap(dataset.truth, records, max_detections=None)
        keypoints = keypoint_ap(dataset.truth, records)
        lacking = {
            masks_not_measured(dataset.truth) if any("segmentation" in record for record in records) else None,
            keypoints_not_measured("The model", dataset.truth, records),
        }
        new = {sentence for sentence in lacking if sentence is not None} - told
        told.update(new)
        say(*sorted(new), file=sys.stderr)
        of_masks, of_keypoints = (None if each is None else each.overall.AP for each in (mask, keypoints))
        return Accuracy(box.overall.AP or 0.0, of_masks, of_keypoints)

    return measure


def _check_targets(names: Sequence[str], precision: str) -> None:
    """Check that one of the GPUs at least computes in this precision; name on standard error those that do not."""
    from maskrt.engines.gpu import local_gpu
    from maskrt.engines.targets import check_precision, find_target

    refusals = []
    for name in names:
        target = find_target(name, local_gpu())
        try:
            check_precision(target, precision)
        except ArgumentError as error:
            refusals.append(str(error))
    if len(refusals) == len(names):
        raise ArgumentError(" ".join(refusals))
    for refusal in refusals:
        say(f"warning: {refusal}", file=sys.stderr)


def _report(result: QuantizationResult, precision: str, model: Path) -> None:
    from maskrt.calibration.quantization import choice_path

    if result.choice is not None:
        say(*result.choice.table(precision))
        say(f"{result.choice.quantized_share:.1%} of the multiply-accumulates are {precision}")
    if result.coverage is not None:
        say(result.coverage.sentence(precision if result.choice is None else f"{precision} or fp16"))
    if result.before is not None and result.after is not None:
        say(f"{SOURCE_PRECISION}: {result.before}", f"{precision}: {result.after}")
    size, old_size = result.path.stat().st_size, model.stat().st_size
    say(f"{result.path}: {size / 1e6:.1f} MB ({size / old_size:.0%} of {model.name})")
    if result.choice is not None:
        say(f"choice of layers: {choice_path(result.path)}")


def _verdict(result: QuantizationResult, max_ap_drop: float | None) -> int:
    """Say whether the budget is met; the exit code."""
    if max_ap_drop is None or result.before is None or result.after is None:
        return 0
    loss = result.before.drop_to(result.after)
    if result.budget_met:
        say(f"The loss of AP, {loss:.4f}, is within {max_ap_drop:g}.")
        return 0
    say(
        f"maskrt quantize: no choice of layers keeps the loss of AP within {max_ap_drop:g}; the best one loses "
        f"{loss:.4f} and was written. Calibrate with more or other images, another --method, or use --precision fp16.",
        file=sys.stderr,
    )
    return BUDGET_MISSED


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `maskrt quantize`; return the exit code."""
    return run_verb("maskrt quantize", sys.modules[__name__], arguments)
