"""Non-maximum suppression on the host, in NumPy."""

from collections.abc import Iterator

import numpy as np

from maskrt.runtime.thresholds import round_down_to_float32

# Pairs of boxes looked at at once: their float32 IoUs and indices take some 20 MB.
_PAIRS_AT_ONCE = 1 << 18


def nms(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Of boxes of one class that overlap, keep the best; classes do not touch each other.

    The rules of `BatchedNMS` in the model file and of torchvision's `batched_nms` per class: boxes are visited by
    descending score, equal scores by ascending index; a box is dropped if its IoU with a kept one of its class is
    greater than the threshold (float32 IoU without "+ 1", as in torchvision's `nms_kernel.cpp`). An IoU that is not a
    number, of boxes without area or with coordinates that are not numbers, drops nothing.

    Args:
        boxes: [N, 4] float32 xyxy.
        scores: [N] float32.
        labels: [N] int.
        iou_threshold: 0 to 1.

    Returns:
        [K] int64, the indices of the kept boxes by descending score.
    """
    order = np.argsort(-scores, kind="stable")
    kept = np.ones(len(boxes), dtype=bool)
    threshold = round_down_to_float32(iou_threshold)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        kept[members] = _kept_of_one_class(boxes[members].astype(np.float32, copy=False), threshold)
    return order[kept[order]]


def _kept_of_one_class(boxes: np.ndarray, threshold: np.float32) -> np.ndarray:
    """[N] bool: the boxes, given in order of preference, that no kept box before them suppresses."""
    pairs = [pair[_iou(boxes[pair[:, 0]], boxes[pair[:, 1]]) > threshold] for pair in _pairs_that_meet(boxes)]
    overlaps = np.sort(np.concatenate([np.empty((0, 2), dtype=np.int64), *pairs]), axis=1)
    overlaps = overlaps[np.argsort(overlaps[:, 0], kind="stable")]
    better, starts = np.unique(overlaps[:, 0], return_index=True)
    kept = np.ones(len(boxes), dtype=bool)
    for box, worse in zip(better.tolist(), np.split(overlaps[:, 1], starts[1:]), strict=False):
        if kept[box]:
            kept[worse] = False
    return kept


def _pairs_that_meet(boxes: np.ndarray) -> Iterator[np.ndarray]:
    """[P, 2] int64, some at a time: the pairs of boxes that overlap along x, the only ones whose IoU is above 0."""
    finite = np.flatnonzero(np.isfinite(boxes).all(axis=1))
    by_left = finite[np.argsort(boxes[finite, 0], kind="stable")]
    # Box i meets those that begin before it ends: the next reach[i] ones.
    ends = np.searchsorted(boxes[by_left, 0], boxes[by_left, 2], side="left")
    reach = np.maximum(ends - np.arange(len(by_left)) - 1, 0)
    total = np.cumsum(reach)
    start = 0
    while start < len(by_left):
        before = total[start - 1] if start else 0
        stop = max(int(np.searchsorted(total, before + _PAIRS_AT_ONCE, side="right")), start + 1)
        first = np.repeat(np.arange(start, stop), reach[start:stop])
        offset = np.arange(len(first)) - np.repeat(total[start:stop] - reach[start:stop] - before, reach[start:stop])
        yield by_left[np.stack((first, first + 1 + offset), axis=1)]
        start = stop


@np.errstate(invalid="ignore", over="ignore", divide="ignore")
def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[P] float32: the IoU of each pair of boxes, [P, 4] float32 xyxy both."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    intersection = np.maximum(sides[:, 0], np.float32(0)) * np.maximum(sides[:, 1], np.float32(0))
    area_a, area_b = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) for boxes in (a, b))
    return intersection / (area_a + area_b - intersection)
