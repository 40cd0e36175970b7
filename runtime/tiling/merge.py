"""Joining the detections of overlapping tiles, so that each object of the image comes out once and whole.

Where two tiles overlap, both see the same pixels. So two detections, one of each tile, are of one object if they are of
one class and their masks agree inside the shared region, or if one of them is cut off by its tile's border and the
other covers it. In a crowd that may be so of several; what agrees best decides: of masks that agree, one at least has
no better partner in the other's tile, and of a covered one the covering one is the best. Chains of such pairs make a
group: an object may span many tiles. If a tile shows the object whole, its detection stands for the group; otherwise
the group's cut-off detections are united.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from maskrt.runtime.masks.runs import area, clip, intersection_area, union

# IoU of two masks inside the region that both tiles see, from which they are of one object.
_AGREEMENT = 0.5
# Share of a cut-off detection's pixels that another has as well, from which they are of one object.
_COVERED = 0.8
# A box that ends this close to its tile's border, as a share of the tile's side, is taken for cut off.
_BORDER = 0.02


class Tile(NamedTuple):
    """A part of the image in pixels, ends exclusive."""

    left: int
    top: int
    right: int
    bottom: int


class TileDetections(NamedTuple):
    """N detections of all tiles of an image.

    Attributes:
        boxes: [N, 4] float32 xyxy, pixels of the whole image.
        scores: [N] float32.
        labels: [N] int32.
        tiles: [N] int64, the number of the tile that each was found in, ascending.
        runs: N masks as `mask_runs`, of the whole image.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    tiles: np.ndarray
    runs: list[np.ndarray]


class Merged(NamedTuple):
    """M objects: boxes [M, 4] float32 xyxy, scores [M] float32, labels [M] int32, masks as `mask_runs`."""

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    runs: list[np.ndarray]


def merge(detections: TileDetections, tiles: list[Tile], image_size: tuple[int, int]) -> Merged:
    """Join the detections of tiles: one per object.

    A united one has the union of the boxes and masks, and the score of the largest part: small parts of an object are
    often taken, with confidence, for something else.

    Args:
        detections: of all tiles.
        tiles: the regions that the image was cut into.
        image_size: (height, width).
    """
    boxes, scores, labels, _, runs = detections
    cut = _cut_off(detections, tiles, image_size)
    areas = np.array([area(mask) for mask in runs], dtype=np.int64)
    merged = []
    for parts in _groups(detections, tiles, cut, image_size[0]):
        whole = parts[~cut[parts]]
        if len(whole):
            parts = whole[[scores[whole].argmax()]]
        box = np.concatenate((boxes[parts, :2].min(axis=0), boxes[parts, 2:].max(axis=0)))
        largest = parts[areas[parts].argmax()]
        merged.append((box, scores[largest], labels[largest], union([runs[i] for i in parts])))
    return Merged(
        np.array([box for box, _, _, _ in merged], dtype=np.float32).reshape(-1, 4),
        np.array([score for _, score, _, _ in merged], dtype=np.float32),
        np.array([label for _, _, label, _ in merged], dtype=np.int32),
        [mask for _, _, _, mask in merged],
    )


def _cut_off(detections: TileDetections, tiles: list[Tile], image_size: tuple[int, int]) -> np.ndarray:
    """Tell, [N] bool, whether the box ends at a border of its tile that is not one of the image."""
    height, width = image_size
    regions = np.array(tiles, dtype=np.float32)[detections.tiles]
    margin = _BORDER * (regions[:, 2:] - regions[:, :2])
    begins = (detections.boxes[:, :2] < regions[:, :2] + margin) & (regions[:, :2] > 0)
    ends = (detections.boxes[:, 2:] > regions[:, 2:] - margin) & (regions[:, 2:] < (width, height))
    return (begins | ends).any(axis=1)


def _groups(detections: TileDetections, tiles: list[Tile], cut: np.ndarray, height: int) -> list[np.ndarray]:
    """Find the numbers of the detections of each object."""
    group = np.arange(len(detections.boxes))
    # Pasting grows masks a little beyond their tile, into what no other tile can confirm.
    in_tile = zip(detections.runs, detections.tiles, strict=True)
    areas = np.array([area(clip(mask, tiles[number], height)) for mask, number in in_tile], dtype=np.int64)
    starts = np.searchsorted(detections.tiles, np.arange(len(tiles) + 1)).tolist()
    for first, second, shared in _overlapping(tiles):
        a, b = np.arange(starts[first], starts[first + 1]), np.arange(starts[second], starts[second + 1])
        if not len(a) or not len(b):
            continue
        common, iou = _compare(detections, a, b, shared, height)
        # Where objects of a class lie on each other, a detection may agree with several, but it is of only one.
        best_of_a = (common > 0) & (iou == iou.max(axis=1, keepdims=True))
        best_of_b = (common > 0) & (iou == iou.max(axis=0, keepdims=True))
        agree = (best_of_a | best_of_b) & (iou >= _AGREEMENT)
        covered_a = best_of_a & cut[a, None] & (common >= _COVERED * areas[a, None])
        covered_b = best_of_b & cut[b] & (common >= _COVERED * areas[b])
        for i, j in np.argwhere(agree | covered_a | covered_b):
            group[group == group[b[j]]] = group[a[i]]
    return [np.flatnonzero(group == number) for number in np.unique(group)]


def _overlapping(tiles: list[Tile]) -> Iterator[tuple[int, int, Tile]]:
    """Yield the numbers of each two tiles that overlap, and the region that both see."""
    regions = np.array(tiles)
    for first in range(len(tiles)):
        low = np.maximum(regions[first, :2], regions[first + 1 :, :2])
        high = np.minimum(regions[first, 2:], regions[first + 1 :, 2:])
        for i in np.flatnonzero((low < high).all(axis=1)).tolist():
            yield first, first + 1 + i, Tile(*low[i].tolist(), *high[i].tolist())


def _compare(
    detections: TileDetections, a: np.ndarray, b: np.ndarray, shared: Tile, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """Compare the masks of two tiles' detections, A and B of them, in the region that both tiles see.

    Returns:
        [A, B] int64, the pixels that both have, and [A, B] float64, the IoU; 0 for those of different classes.
    """
    boxes, labels = detections.boxes, detections.labels
    low = np.maximum(np.maximum(boxes[a, None, :2], boxes[None, b, :2]), shared[:2])
    high = np.minimum(np.minimum(boxes[a, None, 2:], boxes[None, b, 2:]), shared[2:])
    meet = (low < high).all(axis=2) & (labels[a, None] == labels[b])
    common, either = np.zeros(meet.shape, dtype=np.int64), np.ones(meet.shape, dtype=np.int64)
    inside = {i: clip(detections.runs[i], shared, height) for i in (*a[meet.any(axis=1)], *b[meet.any(axis=0)])}
    for i, j in np.argwhere(meet):
        mask_a, mask_b = inside[a[i]], inside[b[j]]
        common[i, j] = intersection_area(mask_a, mask_b)
        either[i, j] = max(area(mask_a) + area(mask_b) - common[i, j], 1)
    return common, common / either
