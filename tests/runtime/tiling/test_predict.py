"""The grid of tiles, and tiled prediction with a detector that makes no mistakes: each object must come out once."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from maskrt.contract.metadata import ModelMetadata
from maskrt.contract.tensors import INPUTS
from maskrt.evaluation.metrics.match import pairwise_iou
from maskrt.runtime import ArgumentError, ImageError, Instances, Segmenter
from maskrt.runtime.backends.base import Detections
from maskrt.runtime.tiling import predict as tiles
from maskrt.runtime.tiling.merge import Merged, Tile, TileDetections
from maskrt.runtime.tiling.predict import make_tiles, predict_tiled


def merge_nothing(detections: TileDetections, tiles: list[Tile], image_size: tuple[int, int]) -> Merged:
    """The negative control: what comes out without joining, only NMS."""
    return Merged(detections.boxes, detections.scores, detections.labels, detections.runs)


# --- The grid ---


@pytest.mark.parametrize(
    ("length", "tile", "overlap", "starts"),
    [
        (100, 100, 0.2, [0]),
        (100, 300, 0.2, [0]),  # a tile longer than the image is the image
        (180, 100, 0.2, [0, 80]),
        (181, 100, 0.2, [0, 80, 81]),  # the last one is moved inwards
        (300, 100, 0.0, [0, 100, 200]),
        (301, 100, 0.0, [0, 100, 200, 201]),
        (200, 100, 0.5, [0, 50, 100]),
        (128, 64, 0.9, [*range(0, 61, 6), 64]),
        (140, 100, 0.9, [0, 10, 20, 30, 40]),
    ],
)
def test_spans(length: int, tile: int, overlap: float, starts: list[int]) -> None:
    found = make_tiles((length, 64), (tile, 64), overlap)
    assert [region.top for region in found] == starts
    assert {(region.left, region.right, region.bottom - region.top) for region in found} == {(0, 64, min(tile, length))}


def test_tiles_cover_the_image_with_the_overlap_and_none_is_too_many(rng: np.random.Generator) -> None:
    for _ in range(300):
        image, tile = rng.integers(1, 1500, 2), rng.integers(64, 700, 2)
        overlap = float(rng.uniform(0, 0.9))
        found = make_tiles((int(image[0]), int(image[1])), (int(tile[0]), int(tile[1])), overlap)
        assert len(set(found)) == len(found)
        for axis, side in ((1, 0), (0, 1)):
            size = min(tile[side], image[side])
            starts = sorted({region[axis] for region in found})
            assert starts[0] == 0
            assert starts[-1] == image[side] - size
            assert all(region[axis + 2] - region[axis] == size for region in found)
            assert all(b - a <= size * (1 - overlap) + 1e-6 for a, b in pairwise(starts))
            if len(starts) > 1:  # one fewer, as far apart as the overlap allows, would not reach the end
                assert (len(starts) - 2) * int(size * (1 - overlap)) + size < image[side]


# --- A detector that makes no mistakes ---


SMALLEST_OBJECT = 100
"""Pixels."""

TILE = 192
"""Pixels, both sides."""


class PerfectBackend:
    """Finds each connected region of one grey level, the class, unless it is tiny. Its masks are as coarse as any."""

    providers = ("None",)
    resizes = False
    runs_at_once = 1
    paste_counts = None

    def __init__(self, metadata: ModelMetadata, with_masks: bool) -> None:
        self.metadata = metadata
        self.input_dtype = np.dtype(np.uint8)
        self.batches: list[int] = []
        self._with_masks = with_masks

    def run(self, feed: Mapping[str, np.ndarray]) -> Detections:
        images, image_sizes, score_threshold, _ = (feed[name] for name in INPUTS)
        self.batches.append(len(images))
        boxes, scores, labels, masks = (
            np.zeros((len(images), 64, *shape), dtype)
            for shape, dtype in (((4,), np.float32), ((), np.float32), ((), np.int32), ((28, 28), np.float32))
        )
        numbers = np.zeros(len(images), np.int32)
        for i, (image, (height, width)) in enumerate(zip(images, image_sizes, strict=True)):
            for label in (1, 2, 3):
                level = (image[:height, :width, 0] == label).astype(np.uint8)
                _, components, statistics, _ = cv2.connectedComponentsWithStats(level)
                for number, (x, y, w, h, pixels) in enumerate(statistics[1:].tolist(), 1):
                    if pixels < SMALLEST_OBJECT:
                        continue
                    k = numbers[i]
                    inside = (components[y : y + h, x : x + w] == number).astype(np.float32)
                    boxes[i, k], labels[i, k] = (x, y, x + w, y + h), label
                    scores[i, k] = 0.5 + 0.4 * inside.mean()
                    masks[i, k] = cv2.resize(inside, (28, 28), interpolation=cv2.INTER_AREA)
                    numbers[i] += scores[i, k] > score_threshold[i, 0]
        return Detections(numbers, boxes, scores, labels, {"masks": masks} if self._with_masks else {})


@pytest.fixture
def perfect(write_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Segmenter]:
    """`perfect(masks=True)` -> a segmenter that sees tiles of 192 pixels as they are, and makes no mistakes."""

    def make(masks: bool = True) -> Segmenter:
        segmenter = Segmenter(write_model(min_size=TILE, max_size=TILE))
        monkeypatch.setattr(segmenter, "_backend", PerfectBackend(segmenter.metadata, masks))
        return segmenter

    return make


def draw_objects(rng: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray], list[int]]:
    """`(image, masks, labels)`, 700x900: five bars and two rings longer than a tile, and small ellipses; none touch."""
    image = np.zeros((700, 900), np.uint8)
    masks: list[np.ndarray] = []
    labels: list[int] = []
    boxes = np.empty((0, 4), np.float32)
    while len(masks) < 24:
        canvas, label = np.zeros_like(image), int(rng.integers(1, 4))
        center = (int(rng.integers(900)), int(rng.integers(700)))
        if len(masks) < 5:
            length = int(rng.integers(200, 700))
            cv2.ellipse(canvas, center, (length // 2, 14), float(rng.uniform(0, 180)), 0, 360, 1, cv2.FILLED)
        elif len(masks) < 7:
            cv2.circle(canvas, center, int(rng.integers(100, 250)), 1, 24)
        else:
            axes = rng.integers(8, 50, 2)
            cv2.ellipse(canvas, center, (int(axes[0]), int(axes[1])), 30, 0, 360, 1, cv2.FILLED)
        near = cv2.dilate(canvas, np.ones((9, 9), np.uint8)) > 0
        pieces, _ = cv2.connectedComponents(canvas)
        x, y, w, h = cv2.boundingRect(canvas)
        box = np.array([[x, y, x + w, y + h]], dtype=np.float32)
        if len(masks) < 7 and max(w, h) <= TILE:
            continue  # the picture's border left too little of it
        if image[near].any() or pieces != 2 or canvas.sum() < 300 or (pairwise_iou(box, boxes) > 0.4).any():
            continue  # boxes that overlap much would fall to NMS
        boxes = np.concatenate((boxes, box))
        image[canvas > 0] = label
        masks.append(canvas > 0)
        labels.append(label)
    return np.repeat(image[:, :, None], 3, axis=2), masks, labels


def iou_with(instances: Instances, masks: list[np.ndarray]) -> np.ndarray:
    """[instances, masks] float64."""
    truth = [coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in masks]
    return np.asarray(coco_mask.iou(instances.rle(), truth, [0] * len(truth))).reshape(len(instances), len(truth))


@pytest.mark.parametrize("seed", [0, 1, 2])  # one picture in some 200 has a sliver that no coarse mask covers
@pytest.mark.parametrize("overlap", [0.15, 0.3, 0.6])
def test_every_object_comes_out_once_and_whole(perfect: Callable[..., Segmenter], overlap: float, seed: int) -> None:
    image, masks, labels = draw_objects(np.random.default_rng(seed))
    instances = predict_tiled(perfect(), image, tile_size=(TILE, TILE), overlap=overlap)
    iou = iou_with(instances, masks)
    assert len(instances) == len(masks)
    match = iou.argmax(axis=0)
    assert len(set(match.tolist())) == len(masks)
    np.testing.assert_array_equal(instances.labels[match], labels)
    assert (instances.scores[:-1] >= instances.scores[1:]).all()

    corners = np.array([[*np.argwhere(m.T).min(axis=0), *np.argwhere(m.T).max(axis=0) + 1] for m in masks])
    np.testing.assert_allclose(instances.boxes[match], corners, atol=1e-3)
    regions = np.array(make_tiles((700, 900), (TILE, TILE), overlap))
    inside = (corners[:, None, :2] >= regions[:, :2]) & (corners[:, None, 2:] <= regions[:, 2:])
    cut = ~inside.all(axis=2).any(axis=1)
    assert 7 <= cut.sum() < len(masks)
    quality = iou.max(axis=0)
    print(
        f"mask IoU: {quality[cut].mean():.3f} of {cut.sum()} cut off in all tiles, {quality[~cut].mean():.3f} of others"
    )
    assert quality[cut].mean() > quality[~cut].mean() - 0.03
    assert quality.min() > 0.7


def test_without_merging_there_are_duplicates(
    perfect: Callable[..., Segmenter], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control of the test above: NMS alone leaves the parts."""
    image, masks, _ = draw_objects(np.random.default_rng(0))
    monkeypatch.setattr(tiles, "merge", merge_nothing)
    assert len(predict_tiled(perfect(), image, tile_size=(TILE, TILE), overlap=0.15)) > len(masks) + 5


def test_boxes_alone_are_joined_too(perfect: Callable[..., Segmenter]) -> None:
    image = np.zeros((300, 500, 3), np.uint8)
    image[100:140, 20:450], image[200:260, 100:160] = 1, 2
    instances = predict_tiled(perfect(masks=False), image, tile_size=(TILE, TILE))
    assert not instances.has_masks
    np.testing.assert_array_equal(
        instances.boxes[np.argsort(instances.labels)], [[20, 100, 450, 140], [100, 200, 160, 260]]
    )
    with pytest.raises(ArgumentError, match="no masks"):
        instances.rle()


def test_what_merged_instances_can_do(perfect: Callable[..., Segmenter]) -> None:
    image = np.zeros((300, 500, 3), np.uint8)
    image[100:140, 20:450], image[200:260, 100:160] = 1, 2
    instances = predict_tiled(perfect(), image, tile_size=(TILE, TILE))
    assert repr(instances) == "Instances(2 in 500x300 px: 1 disk, 1 star)"
    masks = instances.masks()
    np.testing.assert_array_equal(masks[:, 120, 200], instances.labels == 1)
    for mask, rle, record, (left, top, crop), one in zip(
        masks, instances.rle(), instances.to_coco(7), instances.crops(), instances, strict=True
    ):
        np.testing.assert_array_equal(coco_mask.decode(rle), mask)
        assert record["segmentation"] == rle
        assert crop.shape[0] < 100
        np.testing.assert_array_equal(mask[top : top + crop.shape[0], left : left + crop.shape[1]], crop)
        assert crop.sum() == mask.sum() > 2000
        np.testing.assert_array_equal(one.masks()[0], mask)
    star = instances[instances.labels == 2]
    assert star.names == ["star"]
    np.testing.assert_array_equal(star.masks()[0], masks[instances.labels == 2][0])


def test_batches_and_thresholds_reach_the_model(perfect: Callable[..., Segmenter]) -> None:
    segmenter = perfect()
    image = np.zeros((400, 400, 3), np.uint8)
    image[10:50, 10:50] = 1
    assert len(predict_tiled(segmenter, image, tile_size=(TILE, TILE), overlap=0, batch_size=4)) == 1
    assert segmenter._backend.batches == [4, 4, 1]  # type: ignore[attr-defined]
    assert len(predict_tiled(segmenter, image, tile_size=(TILE, TILE), score_threshold=0.95)) == 0
    empty = predict_tiled(segmenter, image * 0, tile_size=(TILE, TILE))
    assert (len(empty), empty.rle(), empty.masks().shape) == (0, [], (0, 400, 400))


def test_an_image_of_one_tile_is_predicted_as_it_is(perfect: Callable[..., Segmenter]) -> None:
    image = np.zeros((150, 190, 3), np.uint8)
    image[10:50, 10:50] = 1
    segmenter = perfect()
    instances = predict_tiled(segmenter, image, tile_size=(192, 1000))
    assert instances.mask_probabilities is not None
    assert instances.to_coco(1) == segmenter.predict(image).to_coco(1)


def test_an_image_file(perfect: Callable[..., Segmenter], tmp_path: Path) -> None:
    image = np.zeros((300, 500, 3), np.uint8)
    image[100:140, 20:450] = 1
    cv2.imwrite(str(tmp_path / "a.png"), image)
    found = predict_tiled(perfect(), tmp_path / "a.png", tile_size=(TILE, TILE))
    assert found.to_coco(1) == predict_tiled(perfect(), image, tile_size=(TILE, TILE)).to_coco(1)
    with pytest.raises(ImageError, match="no such file"):
        predict_tiled(perfect(), "nowhere.png", tile_size=(TILE, TILE))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile_size": (63, 200)}, "at least 64x64 pixels, but is 63x200"),
        ({"tile_size": (0, 0)}, "at least 64x64 pixels"),
        ({"overlap": -0.1}, "overlap should be between 0 and 0.9, but is -0.1"),
        ({"overlap": 0.95}, "overlap should be between 0 and 0.9"),
        ({"overlap": float("nan")}, "overlap should be between 0 and 0.9"),
        ({"batch_size": 0}, "batch_size should be at least 1, but is 0"),
        ({"score_threshold": 2.0}, "score_threshold should be between 0 and 1"),
        ({"nms_threshold": -1.0}, "nms_threshold should be between 0 and 1"),
        ({"nms_threshold": [0.5, 0.4]}, "nms_threshold should be one number for all images here"),
    ],
)
def test_bad_arguments(perfect: Callable[..., Segmenter], options: dict[str, Any], message: str) -> None:
    image = np.zeros((300, 300, 3), np.uint8)
    with pytest.raises(ArgumentError, match=message):
        predict_tiled(perfect(), image, **{"tile_size": (TILE, TILE), **options})
    with pytest.raises(ArgumentError, match="uint8 array"):
        predict_tiled(perfect(), image.astype(np.float32), tile_size=(TILE, TILE))
