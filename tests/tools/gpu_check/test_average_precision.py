"""Average precision in NumPy, held to pycocotools'."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from maskrt.evaluation.metrics import coco
from maskrt.evaluation.metrics.match import pairwise_iou
from maskrt.tools.gpu_check.accuracy import mask_iou
from maskrt.tools.gpu_check.average_precision import Overlaps, average_precision

SIDE, CLASSES = 96, 4


def rectangles(boxes: np.ndarray) -> np.ndarray:
    """Fill boxes of whole pixels: [N, SIDE, SIDE] bool."""
    masks = np.zeros((len(boxes), SIDE, SIDE), dtype=bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes.astype(int), strict=True):
        mask[top:bottom, left:right] = True
    return masks


def draw(rng: np.random.Generator, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw boxes of whole pixels and labels."""
    corners = rng.integers(0, SIDE - 24, (number, 2))
    return np.concatenate((corners, corners + rng.integers(8, 24, (number, 2))), axis=1), rng.integers(
        1, CLASSES, number
    )


@pytest.mark.parametrize("most", [12, 400], ids=["few", "more than count"])
def test_it_is_that_of_pycocotools(rng: np.random.Generator, most: int) -> None:
    """Of boxes and masks: objects found well, badly, twice and not at all, equal scores, and images without any."""
    truth: dict[str, Any] = {
        "info": {},
        "images": [{"id": number + 1, "height": SIDE, "width": SIDE} for number in range(12)],
        "categories": [{"id": label, "name": str(label)} for label in range(1, CLASSES + 1)],
        "annotations": [],
    }
    results: list[dict[str, Any]] = []
    of_boxes, of_masks = [], []
    for image in truth["images"]:
        boxes, labels = draw(rng, int(rng.integers(0, 9)))
        masks = rectangles(boxes)
        extra, extra_labels = draw(rng, int(rng.integers(0, most)))
        moved = np.clip(np.repeat(boxes, 2, axis=0) + rng.integers(-2, 3, (2 * len(boxes), 4)), 0, SIDE)
        found = np.concatenate((moved, extra))[1:]
        found_labels = np.concatenate((np.repeat(labels, 2), extra_labels))[1:]
        found_masks = rectangles(found)
        found_masks[::3, ::2] = False  # boxes and masks differ
        scores = rng.integers(1, 200, len(found)) / 200
        of_boxes.append(Overlaps(scores, found_labels, labels, pairwise_iou(found, boxes)))
        of_masks.append(Overlaps(scores, found_labels, labels, mask_iou(found_masks, masks)))
        for box, label, mask in zip(boxes, labels, masks, strict=True):
            number = len(truth["annotations"]) + 1
            record = {"id": number, "image_id": image["id"], "category_id": int(label), "iscrowd": 0}
            rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
            size = [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]
            truth["annotations"].append({**record, "bbox": size, "area": int(mask.sum()), "segmentation": rle})
        for box, label, score, mask in zip(found, found_labels, scores, found_masks, strict=True):
            size = [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]
            rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
            record = {"image_id": image["id"], "category_id": int(label), "score": float(score)}
            results.append({**record, "bbox": size, "segmentation": rle})
    for kind, images in (("bbox", of_boxes), ("segm", of_masks)):
        expected = asdict(coco.average_precision(truth, results, kind).overall)  # type: ignore[arg-type]
        assert 0 < expected["AP"] < 1
        found_ap = average_precision(images)
        assert found_ap == pytest.approx({name: expected[name] for name in found_ap}, abs=1e-9)


def test_nothing_found_is_nothing() -> None:
    nothing = Overlaps(np.zeros(0), np.zeros(0, int), np.array([1, 2]), np.zeros((0, 2)))
    assert average_precision([nothing]) == {"AP": 0, "AP50": 0, "AP75": 0}


def test_mask_iou() -> None:
    masks = rectangles(np.array([[0, 0, 10, 10], [0, 5, 10, 15], [50, 50, 60, 60]]))
    empty = np.zeros_like(masks[:1])
    assert mask_iou(masks, masks[:1]).tolist() == [[1], [50 / 150], [0]]
    assert mask_iou(empty, empty).tolist() == [[0]]
    assert mask_iou(masks, masks[:0]).shape == (3, 0)
