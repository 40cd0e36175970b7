"""`maskrt quantize`: an exported FP32 ONNX file becomes an FP16, INT8 or FP8 one, and what it costs is measured."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from maskrt.command import run_verb
from maskrt.errors import ArgumentError
from maskrt.options import fraction, number, positive

EXTRA = "maskrt[quantize,cpu]"
INTERRUPTED_NOTE = "no model was written"


BUDGET_MISSED = 1
"""Exit code where a budget was given and no choice of layers meets it; the best file is written all the same."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument(
        "model", nargs="?", type=Path, default=Path("model.onnx"), help="FP32 ONNX file (default: %(default)s)"
    )
    parser.add_argument("--precision", choices=["fp16", "int8", "fp8"], default="int8", help="(default: %(default)s)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="(default: <model>.<precision>.onnx)")
    parser.add_argument("--target", action="append", metavar="GPU", help="check that this GPU has the precision")

    images = parser.add_argument_group("calibration (int8 and fp8)")
    images.add_argument("--images", type=Path, metavar="PATH", help="a folder, a COCO JSON file, or a video")
    images.add_argument("--count", type=positive, default=64, metavar="N", help="images used (default: %(default)s)")
    images.add_argument("--seed", type=int, default=0, help="of their choice (default: %(default)s)")
    images.add_argument(
        "--method",
        choices=["max", "percentile", "entropy"],
        default="percentile",
        help="how ranges follow from values (default: %(default)s)",
    )
    images.add_argument(
        "--percentile", type=_percentile, metavar="P", help="values inside, for --method percentile (default: 99.99)"
    )
    images.add_argument("--cache", type=Path, metavar="FILE", help="the ranges found (default: beside the output)")

    accuracy = parser.add_argument_group("accuracy")
    accuracy.add_argument("--eval", type=Path, metavar="JSON", help="COCO data set: measures AP before and after")
    accuracy.add_argument(
        "--max-ap-drop", type=fraction, metavar="D", help="keep layers in fp16 until AP falls by D at the most"
    )
    accuracy.add_argument("--layers", type=Path, metavar="JSON", help="the choice of layers of an earlier run")


def _percentile(text: str) -> float:
    return number(text, 90, 100)


def _check_targets(names: Sequence[str], precision: str) -> None:
    """That one of the GPUs at least computes in this precision; names on standard error those that do not."""
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
        print(f"warning: {refusal}", file=sys.stderr)


def run(arguments: argparse.Namespace) -> int:
    """Quantizes; returns the exit code. Raises MaskrtError where something the user gave does not work."""
    if arguments.target:
        _check_targets(arguments.target, arguments.precision)
    if arguments.percentile is not None and arguments.method != "percentile":
        raise ArgumentError(f"--percentile goes with --method percentile, but the method is {arguments.method}.")
    from maskrt.calibration.quantization import DEFAULT_PERCENTILE, CalibrationOptions, choice_path, quantize

    model: Path = arguments.model
    output = arguments.output or model.with_name(f"{model.stem}.{arguments.precision}.onnx")
    calibration = None
    if arguments.images is not None:
        calibration = CalibrationOptions(
            images=arguments.images,
            count=arguments.count,
            seed=arguments.seed,
            method=arguments.method,
            percentile=arguments.percentile or DEFAULT_PERCENTILE,
            cache=arguments.cache,
        )
    result = quantize(
        model,
        output,
        arguments.precision,
        calibration,
        layers=arguments.layers,
        evaluation=arguments.eval,
        max_ap_drop=arguments.max_ap_drop,
    )
    if result.choice is not None:
        print(result.choice.table(arguments.precision))
        print(f"{result.choice.quantized_share:.1%} of the multiply-accumulates are {arguments.precision}")
    if result.before is not None and result.after is not None:
        print(f"fp32: {result.before}\n{arguments.precision}: {result.after}")
    size, old_size = output.stat().st_size, model.stat().st_size
    print(f"{output}: {size / 1e6:.1f} MB ({size / old_size:.0%} of {model.name})")
    if result.choice is not None:
        print(f"choice of layers: {choice_path(output)}")
    if arguments.max_ap_drop is None or result.before is None or result.after is None:
        return 0
    loss = result.before.drop_to(result.after)
    if result.budget_met:
        print(f"The loss of AP, {loss:.4f}, is within {arguments.max_ap_drop:g}.")
        return 0
    print(
        f"maskrt quantize: no choice of layers keeps the loss of AP within {arguments.max_ap_drop:g}; the best one "
        f"loses {loss:.4f} and was written. Calibrate with more or other images, another --method, or use --precision "
        "fp16.",
        file=sys.stderr,
    )
    return BUDGET_MISSED


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `maskrt quantize`; returns the exit code."""
    return run_verb("maskrt quantize", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
