"""Non-maximum suppression on the host, in NumPy."""

import numpy as np

from maskrt.contract.tensors import round_down_to_float32

# Pairs of boxes looked at at once: their float32 coordinates are 2 MB, which the level-2 cache about holds.
_PAIRS_AT_ONCE = 1 << 16


def nms(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Keep the best of boxes of one class that overlap; classes do not touch each other.

    The rules of `BatchedNMS` in the model file and of torchvision's `batched_nms` per class: boxes are visited by
    descending score, equal scores by ascending index; a box is dropped if its IoU with a kept one of its class is
    greater than the threshold (float32 IoU without "+ 1", as in torchvision's `nms_kernel.cpp`). An IoU that is not a
    number, of boxes without area or with coordinates that are not numbers, drops nothing.

    The best boxes, as many as `_PAIRS_AT_ONCE` allows, are compared with all that could overlap them; what they drop is
    compared with nothing any more. Then the next best follow.

    Args:
        boxes: [N, 4] float32 xyxy.
        scores: [N] float32.
        labels: [N] int.
        iou_threshold: 0 to 1.

    Returns:
        [K] int64, the indices of the kept boxes by descending score.
    """
    order = np.argsort(-scores, kind="stable")
    boxes, labels = boxes[order].astype(np.float32, copy=False), labels[order]
    threshold = round_down_to_float32(iou_threshold)
    kept = np.ones(len(order), dtype=bool)

    # All of the following are of the boxes still to be visited or dropped, from left to right, class by class.
    left, right = _edge_ranks(boxes, labels)
    preference = np.argsort(left)
    left, right = left[preference], right[preference]
    corners = np.ascontiguousarray(boxes[preference].T)
    # Along x, box i meets none but those from starts[i] to ends[i].
    starts = np.searchsorted(np.maximum.accumulate(right), left)
    ends = np.maximum(np.searchsorted(left, right), starts)

    queue = np.argsort(preference)  # where each of them is, best first
    while len(queue):
        lengths = (ends - starts)[queue]
        totals = np.cumsum(lengths)
        visited = max(int(np.searchsorted(totals, _PAIRS_AT_ONCE, side="right")), 1)
        best, lengths, totals = queue[:visited], lengths[:visited], totals[:visited]
        better = np.repeat(best, lengths)
        worse = np.arange(totals[-1]) + np.repeat(starts[best] - (totals - lengths), lengths)
        ranked = preference[better] < preference[worse]
        better, worse = better[ranked], worse[ranked]
        overlaps = _iou(corners.take(better, axis=1), corners.take(worse, axis=1)) > threshold

        remaining = _not_suppressed(better[overlaps], worse[overlaps], len(queue))
        kept[preference[~remaining]] = False
        remaining[best] = False
        new_index = np.append(0, np.cumsum(remaining))
        queue = new_index[queue[remaining[queue]]]
        starts, ends = new_index[starts[remaining]], new_index[ends[remaining]]
        preference, corners = preference[remaining], corners[:, remaining]
    return order[kept]


def _edge_ranks(boxes: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rank the left edges and the right edges of boxes, [N] int64 both, as places in one line, class behind class.

    Where a right and a left edge have the same x, the right one comes first: such boxes do not overlap. NaN comes last
    in its class, so that no pair is missed because of it.
    """
    order = np.lexsort((np.concatenate((boxes[:, 2], boxes[:, 0])), np.tile(labels, 2)))
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return ranks[len(boxes) :], ranks[: len(boxes)]


def _not_suppressed(better: np.ndarray, worse: np.ndarray, number: int) -> np.ndarray:
    """Tell, [number] bool, which boxes no kept box overlaps.

    Args:
        better, worse: [P] int64, the boxes of each overlapping pair, by descending score of the better one.
        number: of boxes.
    """
    remaining = np.ones(number, dtype=bool)
    starts = np.flatnonzero(np.diff(better, prepend=-1))
    for box, overlapped in zip(better[starts].tolist(), np.split(worse, starts[1:]), strict=False):
        if remaining[box]:
            remaining[overlapped] = False
    return remaining


@np.errstate(invalid="ignore", over="ignore", divide="ignore")
def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Compute the IoU, [P] float32, of each pair of boxes, [4, P] float32 xyxy both."""
    sides = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), np.float32(0))
    intersection = sides[0] * sides[1]
    area_a, area_b = ((boxes[2] - boxes[0]) * (boxes[3] - boxes[1]) for boxes in (a, b))
    return intersection / (area_a + area_b - intersection)
