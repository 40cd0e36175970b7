"""Which detection of one backend is which detection of another: they may swap places when scores nearly tie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Detections:
    """Of one image: `boxes` [N, 4] float xyxy, `scores` [N] float, `labels` [N] int.

    And `masks` [N, …] and `keypoints` [N, K, 3] float (x, y, score), or None.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: np.ndarray | None = None
    keypoints: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True)
class Matching:
    """`pairs` [M, 2] int: index in the reference, index in the candidate; and the indices without a counterpart."""

    pairs: np.ndarray
    missing: np.ndarray
    extra: np.ndarray


def pairwise_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Compute the IoU of boxes [N, 4] and [M, 4] xyxy → [N, M] float64; 0 where both are empty."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    extent = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    intersection = np.prod(np.clip(extent, 0, None), axis=2)
    area_a, area_b = np.prod(a[:, 2:] - a[:, :2], axis=1), np.prod(b[:, 2:] - b[:, :2], axis=1)
    union = area_a[:, None] + area_b[None, :] - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def match_detections(reference: Detections, candidate: Detections, min_iou: float = 0.5) -> Matching:
    """Pair each reference detection, best score first, with the unused candidate of its label that lies closest.

    Close means the smallest largest difference of the four box coordinates, among those with an IoU of `min_iou`.
    """
    distance = np.abs(reference.boxes[:, None].astype(np.float64) - candidate.boxes[None]).max(axis=2, initial=0)
    possible = (reference.labels[:, None] == candidate.labels[None]) & (
        pairwise_iou(reference.boxes, candidate.boxes) >= min_iou
    )
    cost = np.where(possible, distance, np.inf)
    pairs: list[tuple[int, int]] = []
    for i in np.argsort(-reference.scores, kind="stable"):
        if cost.shape[1] and np.isfinite(cost[i].min()):
            j = int(cost[i].argmin())
            cost[:, j] = np.inf
            pairs.append((int(i), j))
    array = np.array(pairs, np.int64).reshape(-1, 2)
    return Matching(
        array,
        np.setdiff1d(np.arange(len(reference)), array[:, 0]),
        np.setdiff1d(np.arange(len(candidate)), array[:, 1]),
    )
