"""COCO average precision, by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from maskrt.errors import ArgumentError, DependencyError
from maskrt.evaluation.metrics.oks import keypoint_truth, sigmas_of, with_keypoints


@dataclass(frozen=True)
class ApStatistics:
    """AP values 0 to 1, None where no ground truth counts, by the names that COCO gives them.

    Attributes:
        AP: mean over IoU 0.50:0.95 and the categories; of keypoints, over OKS in place of IoU.
        AP50, AP75: at one IoU.
        APs, APm, APl: of small, medium and large objects; COCO does not count small ones for keypoints.
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


MAX_DETECTIONS = 100
"""Of a class in an image: as many as COCO counts, the best ones."""


MAX_KEYPOINT_DETECTIONS = 20
"""The same of what has keypoints."""


def average_precision(
    ground_truth: dict[str, Any],
    results: Sequence[dict[str, Any]],
    kind: Literal["bbox", "segm", "keypoints"],
    max_detections: int | None = MAX_DETECTIONS,
) -> AveragePrecision:
    """Measure COCO AP of result records (the list that pycocotools' `loadRes` takes) against a COCO dictionary.

    Of each class in an image the `max_detections` best count; None: all of them.

    Of masks, small, medium and large is told by the area of the mask, as detectron2's and torchvision's evaluators do:
    pycocotools by itself takes the area of the box where a record has both.

    Raises:
        ArgumentError: the results are of several models, or the data set does not tell how to measure its keypoints.
    """
    check_one_model(results)
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise DependencyError("COCO AP needs pycocotools: `pip install maskrt[evaluate]`") from error
    other = {"bbox": "segmentation", "segm": "bbox", "keypoints": "segmentation"}[kind]
    count = max((len(record.get("keypoints", ())) // 3 for record in results), default=0)
    if kind == "keypoints":
        ground_truth, sigmas = keypoint_truth(ground_truth, count), sigmas_of(ground_truth, count)
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
        if kind == "keypoints":
            evaluation.params.kpt_oks_sigmas = np.array(sigmas)
        evaluation.params.maxDets = [most_in_one_image(results) if max_detections is None else max_detections]
        evaluation.evaluate()
        evaluation.accumulate()
    # Not `summarize`, which looks for 100 detections alone. As there, -1 stands where no ground truth counts.
    precision = evaluation.eval["precision"][..., -1]  # IoU 0.50:0.95, recall, category, area
    thresholds = [slice(None), slice(0, 1), slice(5, 6), slice(None), slice(None), slice(None)]
    areas = [0, 0, 0, 1, 2, 3]  # all, all, all, small, medium, large
    if kind == "keypoints":  # of which COCO has no small ones
        precision = np.insert(precision, 1, -1, axis=3)
    return AveragePrecision(
        ApStatistics(*(_mean(precision[part, ..., area]) for part, area in zip(thresholds, areas, strict=True))),
        {category: _mean(precision[:, :, index, 0]) for index, category in enumerate(evaluation.params.catIds)},
    )


def most_in_one_image(records: Iterable[Mapping[str, Any]]) -> int:
    """Count the instances of the class and the image that have most; at least 1."""
    return max(Counter((record["image_id"], record["category_id"]) for record in records).values(), default=1)


def beyond_limit(
    ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]], max_detections: int
) -> str | None:
    """Say so where there are more instances of a class in an image than AP counts."""
    truth, found = most_in_one_image(ground_truth["annotations"]), most_in_one_image(results)
    if max(truth, found) <= max_detections:
        return None
    return (
        f"AP counts the {max_detections} best detections of a class in an image, but there are images with up to "
        f"{truth} annotated and {found} found. With --max-detections {max(truth, found)}, all count."
    )


def box_and_mask_ap(
    ground_truth: dict[str, Any], results: Sequence[dict[str, Any]], max_detections: int | None = MAX_DETECTIONS
) -> tuple[AveragePrecision, AveragePrecision | None]:
    """Measure AP of boxes and of masks; None for masks where no result has one, or some annotation has none.

    `max_detections` is as for `average_precision`.
    """
    with_masks = any("segmentation" in record for record in results) and not without_masks(ground_truth)
    return (
        average_precision(ground_truth, results, "bbox", max_detections),
        average_precision(ground_truth, results, "segm", max_detections) if with_masks else None,
    )


def keypoint_ap(ground_truth: dict[str, Any], results: Sequence[dict[str, Any]]) -> AveragePrecision | None:
    """Measure AP of keypoints; None where no result, or no annotation, has any.

    Raises:
        ArgumentError: as `average_precision`.
    """
    if not any("keypoints" in record for record in results) or not with_keypoints(ground_truth):
        return None
    return average_precision(ground_truth, results, "keypoints", MAX_KEYPOINT_DETECTIONS)


def masks_not_measured(ground_truth: dict[str, Any]) -> str | None:
    """Say so where masks cannot be measured on a data set."""
    lacking = without_masks(ground_truth)
    if not lacking:
        return None
    return f"{lacking} of {len(ground_truth['annotations'])} annotations have no mask: no mask AP is measured."


def keypoints_not_measured(name: str, ground_truth: dict[str, Any], results: Sequence[dict[str, Any]]) -> str | None:
    """Say so where only one of the data set and the model `name` has keypoints."""
    of_model, of_dataset = any("keypoints" in record for record in results), with_keypoints(ground_truth) > 0
    if not results or of_model == of_dataset:
        return None
    if of_model:
        return f"{name} finds keypoints, but no annotation has any: no keypoint AP is measured."
    return f"{name} finds no keypoints, which annotations have: no keypoint AP is measured."


def check_one_model(results: Sequence[dict[str, Any]]) -> None:
    """Check that result records have the same outputs, as those of one model have.

    Raises:
        ArgumentError: they have not.
    """
    kinds = {("segmentation" in record, len(record.get("keypoints", ()))) for record in results}
    if len(kinds) > 1:
        told = " and ".join(
            sorted(
                f"records with {' and '.join(_outputs(masks, numbers)) or 'boxes alone'}" for masks, numbers in kinds
            )
        )
        raise ArgumentError(f"These results are of several models: {told}. Measure those of one model at a time.")


def _outputs(masks: bool, numbers: int) -> list[str]:
    return [*(["masks"] if masks else []), *([f"{numbers // 3} keypoints"] if numbers else [])]


def without_masks(ground_truth: dict[str, Any]) -> int:
    """Count the annotations that have no mask."""
    return sum(not annotation.get("segmentation") for annotation in ground_truth["annotations"])


def _mean(precision: np.ndarray) -> float | None:
    """Average what counts; None where nothing does."""
    counted = precision[precision > -1]
    return float(counted.mean()) if counted.size else None
