"""What a file finds in an image beside what the source model finds, both as COCO result records of the whole pipeline.

Detections are matched, since they may swap places; by the name of their class, not by its number. Scores near the
threshold cross it by rounding alone. Therefore only detections of at least some clear score must be found again, and
their counterparts may have any score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from pycocotools import mask as coco_mask

from maskrt.errors import ArgumentError
from maskrt.evaluation.metrics.match import Detections, match_detections
from maskrt.evaluation.results.compare import DetectionCounts
from maskrt.runtime.masks.rle import RLE

Records = Sequence[dict[str, Any]]
"""COCO result records of one image; `category_id` is the label."""


@dataclass
class DetectionDifferences:
    """How the detections of a file differ from the reference's.

    Attributes:
        reference: detections of the reference of a clear score.
        missing, extra: those without a counterpart, on either side.
        box: of each matched pair, the largest difference of the four box coordinates, canvas pixels.
        score: of each, the difference of the scores, 0 to 1.
        mask_iou: of each, the IoU of the masks, 0 to 1; none without masks.
        keypoint_size: of each keypoint of each pair, the distance as a share of the box's size, the root of its area;
            none without keypoints.
    """

    reference: int = 0
    missing: int = 0
    extra: int = 0
    box: list[float] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    mask_iou: list[float] = field(default_factory=list)
    keypoint_size: list[float] = field(default_factory=list)

    def add(self, other: DetectionDifferences) -> None:
        """Take in those of another image."""
        self.reference += other.reference
        self.missing += other.missing
        self.extra += other.extra
        self.box += other.box
        self.score += other.score
        self.mask_iou += other.mask_iou
        self.keypoint_size += other.keypoint_size

    @property
    def unmatched(self) -> float:
        """Share of detections without a counterpart among all that either side has."""
        return (self.missing + self.extra) / max(self.reference + self.extra, 1)

    def badness(self) -> tuple[float, float, float]:
        """Order images: first those with detections without a counterpart, then by masks, then by boxes."""
        return (
            float(self.missing + self.extra),
            1 - min(self.mask_iou, default=1.0),
            max(self.box, default=0.0),
        )

    def counts(self) -> DetectionCounts:
        """Count them, and find what nine of ten and all of them amount to."""
        return DetectionCounts(
            reference=self.reference,
            matched=len(self.box),
            missing=self.missing,
            extra=self.extra,
            box_px=_ninth_of_ten(self.box),
            box_px_max=max(self.box, default=None),
            score=_ninth_of_ten(self.score),
            score_max=max(self.score, default=None),
            mask_iou=_ninth_of_ten(self.mask_iou, best_first=-1),
            mask_iou_min=min(self.mask_iou, default=None),
            keypoint_size=_ninth_of_ten(self.keypoint_size),
            keypoint_size_max=max(self.keypoint_size, default=None),
        )


def compare_detections(
    theirs: Records,
    ours: Records,
    their_names: Sequence[str],
    our_names: Sequence[str],
    score_threshold: float,
    scale: float,
) -> DetectionDifferences:
    """Match the detections of both sides on one image.

    Args:
        theirs: of the reference, at a low score threshold.
        ours: of the file.
        their_names: class name of each label of the reference.
        our_names: of the file.
        score_threshold: detections of at least this score must have a counterpart.
        scale: canvas pixels per image pixel.
    """
    numbers = {name: number for number, name in enumerate(dict.fromkeys([*their_names, *our_names]))}
    left, right = _detections(theirs, their_names, numbers), _detections(ours, our_names, numbers)
    matching = match_detections(left, right)
    pairs = matching.pairs[left.scores[matching.pairs[:, 0]] >= score_threshold]
    i, j = pairs.T
    differences = DetectionDifferences(
        reference=int((left.scores >= score_threshold).sum()),
        missing=int((left.scores[matching.missing] >= score_threshold).sum()),
        extra=int((right.scores[matching.extra] >= score_threshold).sum()),
        box=(scale * np.abs(left.boxes[i] - right.boxes[j])).max(axis=1, initial=0).tolist(),
        score=np.abs(left.scores[i] - right.scores[j]).tolist(),
    )
    if all("segmentation" in record for record in (*theirs, *ours)):
        differences.mask_iou = [_mask_iou(theirs[a]["segmentation"], ours[b]["segmentation"]) for a, b in pairs]
    if all("keypoints" in record for record in (*theirs, *ours)):
        differences.keypoint_size = [
            share for a, b in pairs for share in _keypoint_distances(left.boxes[a], theirs[a], ours[b])
        ]
    return differences


def _keypoint_distances(box: np.ndarray, theirs: dict[str, Any], ours: dict[str, Any]) -> list[float]:
    """Of each keypoint, as a share of the box's size, which is at least a pixel."""
    if len(theirs["keypoints"]) != len(ours["keypoints"]):
        raise ArgumentError(
            f"The source model finds {len(theirs['keypoints']) // 3} keypoints and the file "
            f"{len(ours['keypoints']) // 3}: is --source the model of this file?"
        )
    points = (np.array(record["keypoints"], np.float64).reshape(-1, 3)[:, :2] for record in (theirs, ours))
    width, height = np.maximum(box[2:] - box[:2], 1)
    distances: list[float] = (np.hypot(*np.subtract(*points).T) / math.sqrt(width * height)).tolist()
    return distances


def _mask_iou(theirs: RLE, ours: RLE) -> float:
    """1 where both are empty."""
    union = float(coco_mask.area(coco_mask.merge([theirs, ours])))
    return float(coco_mask.area(coco_mask.merge([theirs, ours], intersect=True))) / union if union else 1.0


def _detections(records: Records, names: Sequence[str], numbers: dict[str, int]) -> Detections:
    boxes = np.array([record["bbox"] for record in records], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    labels = np.array([numbers[names[record["category_id"]]] for record in records], np.int64)
    return Detections(boxes, np.array([record["score"] for record in records], np.float64), labels)


def _ninth_of_ten(values: Sequence[float], best_first: Literal[1, -1] = 1) -> float | None:
    """Find what nine of ten values are at most; with -1, at least.

    Not the mean: where two boxes nearly tie in NMS, rounding decides which of them stays, and that one pair then
    outweighs all others.
    """
    ordered = sorted(values)[::best_first]
    return ordered[math.ceil(0.9 * len(ordered)) - 1] if ordered else None
