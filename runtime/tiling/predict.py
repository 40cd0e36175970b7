"""Images larger than the model takes, or with objects too small for it once resized: prediction tile by tile."""

import math
from dataclasses import replace
from itertools import chain, product
from pathlib import Path

import numpy as np

from maskrt.contract.tensors import check_count, check_one_threshold
from maskrt.errors import ArgumentError
from maskrt.runtime.images.read import check_image, read_image
from maskrt.runtime.masks.rle import RLE, compress_counts
from maskrt.runtime.masks.runs import counts_from_runs, runs_from_counts
from maskrt.runtime.segmenter import Segmenter
from maskrt.runtime.structures.instances import Instances
from maskrt.runtime.structures.masks import GridMasks, RleMasks
from maskrt.runtime.tiling.merge import Tile, TileDetections, merge
from maskrt.runtime.tiling.nms import nms

SMALLEST_SIDE = 64
"""Of a tile, in pixels: with less around an object a detector sees no object."""
LARGEST_OVERLAP = 0.9


def predict_tiled(
    segmenter: Segmenter,
    image: np.ndarray | str | Path,
    *,
    tile_size: tuple[int, int],
    overlap: float = 0.2,
    score_threshold: float | None = None,
    nms_threshold: float | None = None,
    batch_size: int = 1,
) -> Instances:
    """Find the instances of a large image in overlapping tiles, and join those that tile borders cut.

    A tile is an image like any other: the model's resize policy applies to the tile, so that with a policy of 800
    pixels a tile of 800 pixels is seen as it is and one of 1600 at half its size. An object is best found whole in
    some tile, which it is if it is smaller than the overlap; larger ones are joined from their parts.

    Args:
        segmenter: the model.
        image: a uint8 RGB array [H, W, 3], or the path of an image file.
        tile_size: (height, width) of a tile, pixels of the image; a side longer than the image's is the image's.
        overlap: the least share of a tile's side that it has in common with the next, 0 to 0.9.
        score_threshold, nms_threshold: as for `Segmenter.predict`; the second also for what comes from two tiles.
        batch_size: tiles per run of the model.

    Returns:
        The instances in pixels of the image, best score first. Their masks are run lengths, unless one tile holds the
        whole image.

    Raises:
        ArgumentError: a tile that is too small, an overlap or batch size out of range, several tiles for a model with
            keypoints; else as `Segmenter.predict`.
        ImageError: the image file cannot be read.
        ModelError: the inference engine failed.
    """
    image = read_image(image) if isinstance(image, (str, Path)) else check_image(image)
    height, width = image.shape[:2]
    tiles = make_tiles((height, width), tile_size, overlap)
    check_count("batch_size", batch_size)
    score = check_one_threshold("score_threshold", score_threshold, segmenter.metadata.score_threshold)
    nms_iou = check_one_threshold("nms_threshold", nms_threshold, segmenter.metadata.nms_threshold)
    thresholds = {"score_threshold": score, "nms_threshold": nms_iou}
    if len(tiles) == 1:
        return segmenter.predict(image, **thresholds)
    if segmenter.metadata.keypoint_names:
        raise ArgumentError(
            f"{segmenter.path} finds keypoints, and those of an object that tile borders cut cannot be joined; give a "
            f"tile of the whole image, {height}x{width} (height x width), or a model without keypoints."
        )
    found: list[TileDetections] = []
    for start in range(0, len(tiles), batch_size):
        batch = tiles[start : start + batch_size]
        pixels = [image[tile.top : tile.bottom, tile.left : tile.right] for tile in batch]
        for number, instances in enumerate(segmenter.predict(pixels, **thresholds), start):
            found.append(_in_whole_image(instances, number, tiles[number], (height, width)))
    merged = merge(_concatenate(found), tiles, (height, width))
    kept = nms(merged.boxes, merged.scores, merged.labels, nms_iou)
    return Instances(
        merged.boxes[kept],
        merged.scores[kept],
        merged.labels[kept],
        RleMasks(_rles([merged.runs[i] for i in kept], (height, width))) if instances.has_masks else None,
        segmenter.class_names,
        (height, width),
    )


def make_tiles(image_size: tuple[int, int], tile_size: tuple[int, int], overlap: float) -> list[Tile]:
    """Make the fewest tiles of one size that cover the image with that overlap, row by row.

    They lie on a regular grid, but for the last ones of each row and column, which end with the image.

    Args:
        image_size, tile_size: (height, width) in pixels.
        overlap: the least share of a tile's side that it has in common with the next, 0 to 0.9.

    Raises:
        ArgumentError: a tile that is too small, or an overlap out of range.
    """
    if min(tile_size) < SMALLEST_SIDE:
        raise ArgumentError(
            f"A tile should be at least {SMALLEST_SIDE}x{SMALLEST_SIDE} pixels, but is {tile_size[0]}x{tile_size[1]} "
            "(height x width); a good size is what the model was trained on."
        )
    if not 0 <= overlap <= LARGEST_OVERLAP:
        raise ArgumentError(f"overlap should be between 0 and {LARGEST_OVERLAP}, but is {overlap}.")
    rows, columns = (_spans(*sides, overlap) for sides in zip(image_size, tile_size, strict=True))
    return [Tile(left, top, right, bottom) for (top, bottom), (left, right) in product(rows, columns)]


def _spans(length: int, tile: int, overlap: float) -> list[tuple[int, int]]:
    """Find (start, end) of the tiles along one side of the image."""
    if length <= tile:
        return [(0, length)]
    step = math.floor(tile * (1 - overlap) + 1e-6)  # 100 * (1 - 0.9) is a little less than 10
    number = 1 + math.ceil((length - tile) / step)
    starts = [min(i * step, length - tile) for i in range(number)]
    return [(start, start + tile) for start in starts]


def _in_whole_image(instances: Instances, number: int, tile: Tile, image_size: tuple[int, int]) -> TileDetections:
    """Bring the instances of a tile into pixels of the whole image."""
    boxes = instances.boxes + np.array([tile.left, tile.top] * 2, dtype=np.float32)
    if isinstance(instances.segmentations, GridMasks):
        masks = replace(instances.segmentations, boxes=boxes, image_size=image_size)
        runs = [runs_from_counts(counts) for counts in masks.counts()]
    else:
        runs = [_runs_of_box(box, image_size) for box in boxes]
    return TileDetections(boxes, instances.scores, instances.labels, np.full(len(boxes), number), runs)


def _runs_of_box(box: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Take a box of a detector without masks as if it were filled."""
    height, width = image_size
    left, right = np.clip(np.rint(box[[0, 2]]), 0, width).astype(np.int64)
    top, bottom = np.clip(np.rint(box[[1, 3]]), 0, height).astype(np.int64)
    columns = np.arange(left, right)[:, None] * height
    return columns + np.array([top, bottom]) if top < bottom else np.empty((0, 2), dtype=np.int64)


def _concatenate(found: list[TileDetections]) -> TileDetections:
    boxes, scores, labels, tiles, runs = zip(*found, strict=True)
    return TileDetections(
        np.concatenate(boxes),
        np.concatenate(scores),
        np.concatenate(labels),
        np.concatenate(tiles),
        list(chain.from_iterable(runs)),
    )


def _rles(masks: list[np.ndarray], image_size: tuple[int, int]) -> tuple[RLE, ...]:
    height, width = image_size
    counts = [counts_from_runs(runs, height * width) for runs in masks]
    lengths = np.array([len(each) for each in counts], dtype=np.int64)
    texts = compress_counts(np.concatenate([np.empty(0, dtype=np.int64), *counts]), lengths)
    return tuple({"size": [height, width], "counts": text} for text in texts)
