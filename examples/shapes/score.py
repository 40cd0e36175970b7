"""Average precision on the held-out scenes, of the PyTorch model and of any other source of results."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from maskrt.command import run_verb
from maskrt.evaluation.metrics.coco import ApStatistics, average_precision
from maskrt.export.families.base import describe_model
from maskrt.options import positive
from maskrt.shapes.dataset import HELD_OUT_SCENES, ground_truth
from maskrt.shapes.model import shapes_model
from maskrt.shapes.scenes import generate_scene

EXTRA = "maskrt[evaluate,shapes]"
INTERRUPTED_NOTE = "nothing is written"

Predictor = Callable[[np.ndarray, int], list[dict[str, Any]]]
"""From an image `[H,W,3]` uint8 RGB and its id to COCO result records."""


def held_out_images(count: int = HELD_OUT_SCENES) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the held-out images with their ids in `ground_truth`."""
    for number in range(count):
        yield generate_scene(number, "test").image, number + 1


def score(predict: Predictor, count: int = HELD_OUT_SCENES) -> dict[str, ApStatistics]:
    """Box and mask AP on the first `count` held-out scenes: by "bbox" and "segm"."""
    truth = ground_truth(count)
    results = [record for image, image_id in held_out_images(count) for record in predict(image, image_id)]
    return {
        "bbox": average_precision(truth, results, "bbox").overall,
        "segm": average_precision(truth, results, "segm").overall,
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "--limit", type=positive, default=HELD_OUT_SCENES, metavar="N", help="scenes (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """Print the demo model's AP in PyTorch; return the exit code."""
    reference = describe_model(shapes_model()).reference()
    found = score(lambda image, image_id: reference.records(image, image_id=image_id), options.limit)
    for kind, statistics in found.items():
        values = asdict(statistics).items()
        shown = (f"{name} {'none' if value is None else format(value, '.4f')}" for name, value in values)
        print(f"{kind}: {'  '.join(shown)}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_verb("python -m maskrt.shapes.score", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
