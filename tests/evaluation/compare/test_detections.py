from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from maskrt.errors import ArgumentError
from maskrt.evaluation.compare.detections import DetectionDifferences, compare_detections

NAMES = ("__background__", "a", "b")


def record(box, score, label=1, size=(100, 100)):
    x, y, w, h = box
    mask = np.zeros(size, np.uint8, order="F")
    mask[round(y) : round(y + h), round(x) : round(x + w)] = 1
    return {"category_id": label, "bbox": list(box), "score": score, "segmentation": coco_mask.encode(mask)}


def test_swapped_and_moved_detections():
    theirs = [record((0, 0, 20, 20), 0.9), record((50, 50, 20, 20), 0.8, 2)]
    ours = [record((50, 52, 20, 20), 0.85, 2), record((0, 0, 20, 20), 0.7)]
    found = compare_detections(theirs, ours, NAMES, NAMES, 0.5, scale=0.5)
    assert (found.reference, found.missing, found.extra) == (2, 0, 0)
    assert sorted(found.box) == [0, 1]  # two image pixels are one canvas pixel
    assert sorted(found.score) == pytest.approx([0.05, 0.2])
    assert sorted(found.mask_iou) == pytest.approx([360 / 440, 1])


def test_masks_that_are_empty_on_both_sides_are_equal():
    empty, full = record((0, 0, 0.2, 0.2), 0.9), record((0, 0, 20, 20), 0.9)
    full["bbox"] = empty["bbox"] = [0, 0, 20, 20]
    assert compare_detections([empty], [empty], NAMES, NAMES, 0.5, 1).mask_iou == [1]
    assert compare_detections([empty], [full], NAMES, NAMES, 0.5, 1).mask_iou == [0]


def test_scores_that_cross_the_threshold_are_no_loss():
    theirs, ours = [record((0, 0, 20, 20), 0.51)], [record((0, 0, 20, 20), 0.45)]
    for left, right in ((theirs, ours), (ours, theirs)):
        assert compare_detections(left, right, NAMES, NAMES, 0.5, 1).unmatched == 0


def test_missing_extra_and_other_class():
    theirs = [record((0, 0, 20, 20), 0.9), record((50, 50, 20, 20), 0.8), record((80, 0, 10, 10), 0.3)]
    ours = [record((0, 0, 20, 20), 0.9, 2), record((50, 50, 20, 20), 0.8), record((0, 80, 10, 10), 0.3)]
    found = compare_detections(theirs, ours, NAMES, NAMES, 0.5, 1)
    assert (found.reference, len(found.box), found.missing, found.extra) == (2, 1, 1, 1)
    assert found.unmatched == pytest.approx(2 / 3)
    renamed = compare_detections(theirs[:1], ours[:1], NAMES, ("__background__", "c", "a"), 0.5, 1)
    assert (len(renamed.box), renamed.missing, renamed.extra) == (1, 0, 0)


def test_nine_of_ten_decide_and_the_worst_is_told():
    differences = DetectionDifferences(
        reference=10, box=[0.1] * 9 + [50.0], score=[0.0] * 10, mask_iou=[0.1] + [1.0] * 9
    )
    counts = differences.counts()
    assert (counts.box_px, counts.box_px_max) == (0.1, 50)
    assert (counts.mask_iou, counts.mask_iou_min) == (1.0, 0.1)
    differences.add(DetectionDifferences(reference=1, box=[50.0], score=[0.0], mask_iou=[0.1]))
    assert differences.counts().box_px == 50
    assert differences.counts().mask_iou == 0.1
    assert DetectionDifferences().counts().box_px is None


def test_worse_images_come_first():
    good = DetectionDifferences(box=[0.1], mask_iou=[0.99])
    blurred = DetectionDifferences(box=[0.1], mask_iou=[0.7])
    lost = DetectionDifferences(missing=1)
    assert max((good, blurred, lost), key=DetectionDifferences.badness) is lost
    assert max((good, blurred), key=DetectionDifferences.badness) is blurred


def _with_keypoints(record: dict[str, Any], *numbers: float) -> dict[str, Any]:
    return {**record, "keypoints": list(numbers)}


def test_keypoints_are_measured_in_sizes_of_their_box():
    theirs = [_with_keypoints({"category_id": 1, "bbox": [0, 0, 20, 80], "score": 0.9}, 5, 5, 1, 10, 60, 2)]
    ours = [_with_keypoints({"category_id": 1, "bbox": [0, 0, 20, 80], "score": 0.9}, 8, 9, 1, 10, 60, 5)]
    found = compare_detections(theirs, ours, ["", "a"], ["", "a"], 0.5, scale=1.0)
    assert found.keypoint_size == [5 / 40, 0]
    assert found.counts().keypoint_size_max == 0.125
    other = [{**ours[0], "keypoints": [1, 2, 3]}]
    with pytest.raises(ArgumentError, match="finds 2 keypoints and the file 1: is --source the model of this file"):
        compare_detections(theirs, other, ["", "a"], ["", "a"], 0.5, scale=1.0)
