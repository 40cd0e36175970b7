import contextlib
import copy
import io
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskrt.errors import ArgumentError
from maskrt.evaluation.metrics.coco import STATISTICS, average_precision, beyond_limit, box_and_mask_ap, keypoint_ap

TRUTH: dict[str, Any] = {
    "info": {},
    "images": [{"id": 1, "height": 100, "width": 100}],
    "categories": [{"id": 1, "name": "a"}],
    "annotations": [
        {"id": i + 1, "image_id": 1, "category_id": 1, "bbox": box, "area": 1600, "iscrowd": 0}
        for i, box in enumerate(([0, 0, 40, 40], [50, 50, 40, 40]))
    ],
}


def _result(box: list[float], score: float, category: int = 1) -> dict:
    return {"image_id": 1, "category_id": category, "bbox": box, "score": score}


def _rle(polygon: list[list[float]]) -> dict:
    return coco_mask.frPyObjects(polygon, 100, 100)[0]


def _polygon(x: float, y: float, width: float, height: float) -> list[list[float]]:
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def _overall(*arguments: Any) -> dict[str, float]:
    return asdict(average_precision(*arguments).overall)


def test_ap_by_hand():
    exact = [_result([0, 0, 40, 40], 0.9), _result([50, 50, 40, 40], 0.8)]
    assert _overall(TRUTH, exact, "bbox")["AP"] == pytest.approx(1)
    # One of two found: precision 1 up to recall 0.5, that is at 51 of COCO's 101 recall levels.
    assert _overall(TRUTH, exact[:1], "bbox")["AP"] == pytest.approx(51 / 101)
    # An IoU of 0.75 counts at 6 of the 10 thresholds 0.50:0.95.
    shifted = [_result([0, 0, 30, 40], 0.9), _result([50, 50, 30, 40], 0.8)]
    assert _overall(TRUTH, shifted, "bbox")["AP"] == pytest.approx(0.6)
    assert _overall(TRUTH, shifted, "bbox")["AP75"] == pytest.approx(1)


def test_ap_of_each_class_and_of_sizes_that_do_not_occur():
    truth = copy.deepcopy(TRUTH)
    truth["categories"] += [{"id": 7, "name": "b"}, {"id": 9, "name": "c"}]
    truth["annotations"][1]["category_id"] = 7
    found = average_precision(truth, [_result([0, 0, 40, 40], 0.9)], "bbox")
    assert found.per_class == {1: pytest.approx(1), 7: 0, 9: None}
    assert asdict(found.overall)["AP"] == pytest.approx(0.5)
    assert found.overall.APs is found.overall.APl is None  # 1600 pixels are medium


def test_no_results_score_zero():
    assert _overall(TRUTH, [], "bbox")["AP"] == 0
    assert _overall(TRUTH, [], "bbox")["APs"] is None


def test_what_lies_in_a_crowd_region_is_neither_right_nor_wrong():
    truth = copy.deepcopy(TRUTH)
    truth["annotations"][1]["iscrowd"] = 1
    inside = [_result([0, 0, 40, 40], 0.8), _result([52, 52, 10, 10], 0.9), _result([60, 70, 15, 10], 0.7)]
    assert _overall(truth, inside, "bbox")["AP"] == pytest.approx(1)
    truth["annotations"][1]["iscrowd"] = 0
    assert _overall(truth, inside, "bbox")["AP"] < 0.5


def test_sizes_of_masks_are_told_by_the_mask_as_detectron2_does():
    """Small masks in large boxes: pycocotools, given both, would not count the first, wrong one as small."""
    truth = copy.deepcopy(TRUTH)
    diagonal = [[0.0, 0.0, 6.0, 0.0, 100.0, 94.0, 100.0, 100.0, 94.0, 100.0, 0.0, 6.0]]
    truth["annotations"] = [{**truth["annotations"][0], "segmentation": diagonal, "area": 900.0}]
    results = [
        {**_result([0, 0, 100, 100], 0.9), "segmentation": _rle(_polygon(30, 0, 30, 20))},
        {**_result([0, 0, 100, 100], 0.8), "segmentation": _rle(diagonal)},
    ]
    ours = _overall(truth, results, "segm")

    reference = COCO()
    reference.dataset = copy.deepcopy(truth)
    reference.createIndex()
    without_boxes = [{key: value for key, value in r.items() if key != "bbox"} for r in results]
    evaluation = COCOeval(reference, reference.loadRes(without_boxes), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    expected = {n: None if v < 0 else pytest.approx(v) for n, v in zip(STATISTICS, evaluation.stats, strict=False)}
    assert ours == expected
    assert all("bbox" in record for record in results)  # left as they were


def test_masks_are_scored_where_both_sides_have_them():
    with_masks = copy.deepcopy(TRUTH)
    for annotation in with_masks["annotations"]:
        annotation["segmentation"] = _polygon(*annotation["bbox"])
    boxes = [_result([0, 0, 40, 40], 0.9)]
    masks = [{**boxes[0], "segmentation": _rle(_polygon(0, 0, 40, 40))}]
    box, mask = box_and_mask_ap(with_masks, masks)
    assert mask is not None
    assert mask.overall.AP == box.overall.AP == pytest.approx(51 / 101)
    assert box_and_mask_ap(with_masks, boxes)[1] is None
    del with_masks["annotations"][1]["segmentation"]
    assert box_and_mask_ap(with_masks, masks)[1] is None


def _crowded(objects: int, found: int, categories: int = 1) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """An image with many objects of each of some categories, of which the last ones are found, and best of all."""
    boxes = [[(k % 20) * 20, (k // 20) * 20, 12, 12] for k in range(objects)]
    truth = copy.deepcopy(TRUTH)
    truth["categories"] = [{"id": c, "name": str(c)} for c in range(1, categories + 1)]
    places = [(c["id"], box) for c in truth["categories"] for box in boxes]
    truth["annotations"] = [
        {"id": i, "image_id": 1, "category_id": c, "bbox": box, "area": 144, "iscrowd": 0}
        for i, (c, box) in enumerate(places, start=1)
    ]
    return truth, [_result(box, 0.99 - 1e-3 * i, c) for i, (c, box) in enumerate(places) if i % objects < found]


@pytest.mark.parametrize(
    ("objects", "found", "limit", "ap"),
    [
        (100, 100, 100, 1),
        (150, 150, 100, 67 / 101),  # as COCO has it: a recall of 2/3
        (150, 150, 150, 1),
        (150, 150, None, 1),
        (150, 120, 150, 81 / 101),
        (20, 20, 10, 51 / 101),
        (20, 20, 1, 6 / 101),
    ],
)
@pytest.mark.parametrize("categories", [1, 3])
def test_how_many_detections_count(objects: int, found: int, limit: int | None, ap: float, categories: int) -> None:
    truth, results = _crowded(objects, found, categories)
    measured = average_precision(truth, results, "bbox", limit).overall
    assert pytest.approx(ap, abs=1e-3) == measured.AP
    assert [measured.AP50, measured.AP75, measured.APs] == pytest.approx([measured.AP] * 3)
    told = beyond_limit(truth, results, limit or 150)
    assert (told is None) == (objects <= (limit or 150))
    assert told is None or f"up to {objects} annotated and {found} found" in told


def test_detections_beyond_the_limit_are_told_too() -> None:
    truth, results = _crowded(2, 2)
    assert "up to 2 annotated and 204 found. With --max-detections 204" in (
        beyond_limit(truth, [*results, *results[:1] * 202], 100) or ""
    )


def _keypoint_data(count: int, rng: np.random.Generator) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Twelve people, of whom most are found, some of them twice."""
    truth: dict[str, Any] = {**TRUTH, "categories": [{"id": 1, "name": "person"}], "annotations": []}
    truth["images"] = [{"id": image, "height": 400, "width": 400} for image in (1, 2, 3)]
    results = []
    for number in range(1, 13):
        x, y, width, height = rng.uniform(20, 150, 4)
        points = np.stack((x + rng.uniform(0, width, count), y + rng.uniform(0, height, count)), axis=1)
        seen = rng.choice([0, 1, 2], count, p=[0.2, 0.2, 0.6])
        seen[0] = 2
        flat = np.column_stack((points, seen)).flatten().tolist()
        image, box = 1 + number % 3, [x, y, width, height]
        common = {"image_id": image, "category_id": 1, "bbox": box}
        truth["annotations"].append(
            {**common, "id": number, "area": width * height / 2, "iscrowd": 0, "keypoints": flat}
        )
        for _ in range(number % 3):
            moved = points + rng.normal(0, 4, points.shape)
            found = np.column_stack((moved, rng.uniform(0, 9, count))).flatten().tolist()
            results.append({**common, "score": float(rng.random()), "keypoints": found})
    return truth, results


def test_keypoint_ap_is_pycocotools_own():
    truth, results = _keypoint_data(17, np.random.default_rng(4))
    found = keypoint_ap(truth, results)
    for annotation in truth["annotations"]:
        annotation["num_keypoints"] = sum(value > 0 for value in annotation["keypoints"][2::3])
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(copy.deepcopy(results)), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert found is not None
    expected = [None if value < 0 else pytest.approx(value) for value in evaluation.stats[:5]]
    overall = found.overall
    assert [overall.AP, overall.AP50, overall.AP75, overall.APm, overall.APl] == expected
    assert 0.1 < evaluation.stats[0] < 0.95
    assert overall.APs is None
    assert found.per_class == {1: pytest.approx(evaluation.stats[0])}


@pytest.mark.parametrize("count", [1, 3])
def test_any_number_of_keypoints_needs_their_sigmas(count):
    truth, results = _keypoint_data(count, np.random.default_rng(5))
    with pytest.raises(
        ArgumentError, match=f'How exact {count} keypoints can be is not known.*give a category .*"sigmas"'
    ):
        keypoint_ap(truth, results)
    values = []
    for sigma in (0.02, 0.2):
        truth["categories"][0]["sigmas"] = [sigma] * count
        found = keypoint_ap(truth, results)
        assert found is not None and found.overall.AP is not None
        values.append(found.overall.AP)
    assert values[0] < values[1]
    truth["categories"][0]["sigmas"] = [0.05] * (count + 1)
    with pytest.raises(ArgumentError, match=f"should be {count} positive numbers"):
        keypoint_ap(truth, results)


def test_keypoint_ap_of_another_number_of_keypoints_is_refused():
    truth, results = _keypoint_data(17, np.random.default_rng(6))
    truth["annotations"][2]["keypoints"] = [1, 2, 2]
    with pytest.raises(ArgumentError, match="17 keypoints, but the annotation 3 has 3 numbers for them; expected 51"):
        keypoint_ap(truth, results)


def test_without_keypoints_on_either_side_there_is_no_keypoint_ap():
    truth, results = _keypoint_data(17, np.random.default_rng(7))
    assert keypoint_ap(TRUTH, results) is None
    assert keypoint_ap(truth, [_result([0, 0, 40, 40], 0.9)]) is None
    del truth["annotations"][0]["keypoints"]  # of one annotation: it does not count
    found = keypoint_ap(truth, results)
    assert found is not None and found.overall.AP is not None


def test_results_of_several_models_are_refused():
    truth, results = _keypoint_data(17, np.random.default_rng(8))
    mixed = [*results, _result([0, 0, 40, 40], 0.9)]
    for kind in ("bbox", "keypoints"):
        with pytest.raises(ArgumentError, match="records with 17 keypoints and records with boxes alone"):
            average_precision(truth, mixed, kind)
