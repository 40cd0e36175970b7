"""COCO average precision, by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from maskrt.errors import DependencyError


@dataclass(frozen=True)
class ApStatistics:
    """AP values 0 to 1, None where no ground truth counts, by the names that COCO gives them.

    Attributes:
        AP: mean over IoU 0.50:0.95 and the categories.
        AP50, AP75: at one IoU.
        APs, APm, APl: of small, medium and large objects.
    """

    AP: float | None
    AP50: float | None
    AP75: float | None
    APs: float | None
    APm: float | None
    APl: float | None


STATISTICS = tuple(field.name for field in fields(ApStatistics))


@dataclass(frozen=True)
class AveragePrecision:
    """Over all categories, and of each: category id → AP."""

    overall: ApStatistics
    per_class: Mapping[int, float | None]


def average_precision(
    ground_truth: dict[str, Any], results: Sequence[dict[str, Any]], kind: Literal["bbox", "segm"]
) -> AveragePrecision:
    """Measure COCO AP of result records (the list that pycocotools' `loadRes` takes) against a COCO dictionary.

    Of masks, small, medium and large is told by the area of the mask, as detectron2's and torchvision's evaluators do:
    pycocotools by itself takes the area of the box where a record has both.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise DependencyError("COCO AP needs pycocotools: `pip install maskrt[evaluate]`") from error
    other = {"bbox": "segmentation", "segm": "bbox"}[kind]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress and tables
        truth = COCO()
        truth.dataset = ground_truth
        truth.createIndex()
        found = COCO()
        if results:  # loadRes refuses an empty list
            found = truth.loadRes([{key: value for key, value in r.items() if key != other} for r in results])
        else:
            found.dataset = {**ground_truth, "annotations": []}
            found.createIndex()
        evaluation = COCOeval(truth, found, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # IoU, recall, category; all areas, 100 detections
    return AveragePrecision(
        ApStatistics(*map(_counted, evaluation.stats[: len(STATISTICS)])),
        {category: _counted(precision[:, :, index].mean()) for index, category in enumerate(evaluation.params.catIds)},
    )


def box_and_mask_ap(
    ground_truth: dict[str, Any], results: Sequence[dict[str, Any]]
) -> tuple[AveragePrecision, AveragePrecision | None]:
    """Measure AP of boxes and of masks; None for masks where no result has one, or some annotation has none."""
    with_masks = any("segmentation" in record for record in results) and not without_masks(ground_truth)
    return (
        average_precision(ground_truth, results, "bbox"),
        average_precision(ground_truth, results, "segm") if with_masks else None,
    )


def without_masks(ground_truth: dict[str, Any]) -> int:
    """Count the annotations that have no mask."""
    return sum(not annotation.get("segmentation") for annotation in ground_truth["annotations"])


def _counted(value: float) -> float | None:
    """Drop the -1 that pycocotools says where nothing counts."""
    return None if value < 0 else float(value)
