"""COCO's average precision in NumPy alone: machines that are lent for their GPU have no pycocotools.

The rules are those of pycocotools' `COCOeval` where no object is a crowd and all sizes count; the tests hold the result
to pycocotools' own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
_MOST = 100
"""Detections of a class in an image that count, the best ones."""


@dataclass(frozen=True)
class Overlaps:
    """An image: `scores` [N] and `labels` [N] of what was found, `truth` [M], the labels of what is there.

    And `iou` [N, M], of each detection with each object.
    """

    scores: np.ndarray
    labels: np.ndarray
    truth: np.ndarray
    iou: np.ndarray


def average_precision(images: Sequence[Overlaps]) -> dict[str, float]:
    """Compute AP (the mean over IoU 0.50 to 0.95), AP50 and AP75 of images in which there is something."""
    classes = np.unique(np.concatenate([image.truth for image in images]))
    by_threshold = np.mean([_precision(images, label) for label in classes.tolist()], axis=(0, 2))
    return {"AP": float(by_threshold.mean()), "AP50": float(by_threshold[0]), "AP75": float(by_threshold[5])}


def _precision(images: Sequence[Overlaps], label: int) -> np.ndarray:
    """Compute the precision of a class at each threshold and recall: [10, 101]."""
    scores, hits, objects = [], [], 0
    for image in images:
        found = np.flatnonzero(image.labels == label)
        found = found[np.argsort(-image.scores[found], kind="stable")][:_MOST]
        iou = image.iou[found][:, image.truth == label]
        objects += iou.shape[1]
        scores.append(image.scores[found])
        hits.append(np.array([_match(iou, threshold) for threshold in IOU_THRESHOLDS]))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    right = np.cumsum(np.concatenate(hits, axis=1)[:, order], axis=1, dtype=np.float64)
    precision = right / np.arange(1, right.shape[1] + 1)
    best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = np.array([np.searchsorted(row, _RECALLS) for row in right / objects])
    return np.take_along_axis(np.pad(best_from_here, ((0, 0), (0, 1))), reached, axis=1)


def _match(iou: np.ndarray, threshold: float) -> np.ndarray:
    """Give each detection, best score first, the free object that it overlaps most; tell which got one: [N] bool."""
    free, hits = np.ones(iou.shape[1], dtype=bool), np.zeros(len(iou), dtype=bool)
    for number, row in enumerate(iou):
        overlaps = np.where(free, row, -1)[::-1]  # of equal ones, pycocotools takes the last
        best = int(overlaps.argmax()) if overlaps.size else 0
        if overlaps.size and overlaps[best] >= min(threshold, 1 - 1e-10):
            hits[number], free[len(free) - 1 - best] = True, False
    return hits
