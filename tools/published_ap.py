"""AP on COCO's val2017 that a model's framework published, beside what was measured of its files (`make coco`).

    python -m maskrt.tools.published_ap out/coco/report/evaluate/evaluate.json maskrcnn_resnet50_fpn --weights COCO_V1

The published numbers are torchvision's own (`weights.meta`), and those of detectron2's MODEL_ZOO.md and mmdetection's
configs/mask_rcnn/README.md. They were measured on all 5000 images, with each framework's own evaluation of COCO.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maskrt.command import run_verb
from maskrt.errors import ArgumentError
from maskrt.evaluation.results.evaluate import Evaluation, ModelRecord
from maskrt.evaluation.results.files import read_result
from maskrt.export.checkpoints.errors import CheckpointError
from maskrt.export.checkpoints.published import find_published

EXTRA = "maskrt[evaluate]"
INTERRUPTED_NOTE = "nothing is written"
VAL2017 = 5000
"""How many images it has."""


@dataclass(frozen=True)
class PublishedAp:
    """AP in percent; None where the model has no such output."""

    box: float
    mask: float | None = None
    keypoints: float | None = None


_SEGMENTATION, _KEYPOINTS = "detectron2:COCO-InstanceSegmentation/", "detectron2:COCO-Keypoints/"

ZOOS = {
    f"{_SEGMENTATION}mask_rcnn_R_50_FPN_1x": PublishedAp(38.6, 35.2),
    f"{_SEGMENTATION}mask_rcnn_R_50_C4_3x": PublishedAp(39.8, 34.4),
    f"{_SEGMENTATION}mask_rcnn_R_50_DC5_3x": PublishedAp(40.0, 35.9),
    f"{_SEGMENTATION}mask_rcnn_R_50_FPN_3x": PublishedAp(41.0, 37.2),
    f"{_SEGMENTATION}mask_rcnn_R_101_C4_3x": PublishedAp(42.6, 36.7),
    f"{_SEGMENTATION}mask_rcnn_R_101_DC5_3x": PublishedAp(41.9, 37.3),
    f"{_SEGMENTATION}mask_rcnn_R_101_FPN_3x": PublishedAp(42.9, 38.6),
    f"{_SEGMENTATION}mask_rcnn_X_101_32x8d_FPN_3x": PublishedAp(44.3, 39.5),
    f"{_KEYPOINTS}keypoint_rcnn_R_50_FPN_1x": PublishedAp(53.6, keypoints=64.0),
    f"{_KEYPOINTS}keypoint_rcnn_R_50_FPN_3x": PublishedAp(55.4, keypoints=65.5),
    f"{_KEYPOINTS}keypoint_rcnn_R_101_FPN_3x": PublishedAp(56.4, keypoints=66.1),
    f"{_KEYPOINTS}keypoint_rcnn_X_101_32x8d_FPN_3x": PublishedAp(57.3, keypoints=66.0),
    "mmdet:mask_rcnn_r50_caffe_fpn_1x_coco": PublishedAp(38.0, 34.4),
    "mmdet:mask_rcnn_r50_fpn_1x_coco": PublishedAp(38.2, 34.7),
    "mmdet:mask_rcnn_r50_fpn_2x_coco": PublishedAp(39.2, 35.4),
    "mmdet:mask_rcnn_r101_fpn_1x_coco": PublishedAp(40.0, 36.1),
    "mmdet:mask_rcnn_r101_fpn_2x_coco": PublishedAp(40.8, 36.6),
}
"""By the names of `maskrt.export.checkpoints.published`."""


def published_ap(source: str, weights: str | None) -> PublishedAp | None:
    """Look up what was published of a model; None where maskrt knows of nothing.

    Args:
        source: as `maskrt export` takes it.
        weights: the name of torchvision's, of one of its builders.
    """
    if weights is None:
        try:
            return ZOOS.get(find_published(source).source)  # in one of the spellings that it may have
        except CheckpointError:
            return None
    from torchvision.models import get_model_weights

    try:
        found = get_model_weights(source)[weights].meta["_metrics"]["COCO-val2017"]
    except (KeyError, ValueError):  # no such builder, no such weights, or of another data set
        return None
    return PublishedAp(found["box_map"], found.get("mask_map"), found.get("kp_map"))


def table(result: Evaluation, published: PublishedAp | None) -> str:
    """Show a line for what was published, and one for each model that was measured, in percent."""
    records = result.models
    width = max(len(name) for name in ("published", *(record.name for record in records)))
    lines = [f"{'':{width}}{'box':>8}{'mask':>8}{'keypoints':>11}"]
    if published is not None:
        lines.append(f"{'published':{width}}{_line(published)}")
    lines += [f"{record.name:{width}}{_line(_measured(record))}" for record in records]
    if published is None:
        lines.append("maskrt knows of no published AP of this model.")
    if result.dataset.images != VAL2017:
        lines.append(
            f"Measured on {result.dataset.images} images, where val2017 has {VAL2017}: not to be compared with what "
            "was published."
        )
    return "\n".join(lines)


def _measured(record: ModelRecord) -> PublishedAp:
    box, *others = (
        None if ap is None or ap.AP is None else 100 * ap.AP for ap in (record.box, record.mask, record.keypoints)
    )
    return PublishedAp(0.0 if box is None else box, *others)


def _line(ap: PublishedAp) -> str:
    return "".join(
        f"{'–' if value is None else format(value, '.1f'):>{width}}"
        for value, width in ((ap.box, 8), (ap.mask, 8), (ap.keypoints, 11))
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("results", metavar="EVALUATE_JSON", type=Path, help="of `maskrt evaluate`")
    parser.add_argument("source", metavar="SOURCE", help="the model, as `maskrt export` takes it")
    parser.add_argument("--weights", metavar="NAME", help="torchvision's, as `maskrt export` takes them")


def run(options: argparse.Namespace) -> int:
    """Print the table; return the exit code.

    Raises:
        ArgumentError: the results cannot be read, or are of something else.
    """
    result = read_result(options.results)
    if not isinstance(result, Evaluation):
        raise ArgumentError(f"{options.results} has no AP: expected the results of `maskrt evaluate`.")
    print(table(result, published_ap(options.source, options.weights)))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_verb("python -m maskrt.tools.published_ap", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
