import pytest

from maskrt.evaluation.coco import average_precision

TRUTH = {
    "info": {},
    "images": [{"id": 1, "height": 100, "width": 100}],
    "categories": [{"id": 1, "name": "a"}],
    "annotations": [
        {"id": i + 1, "image_id": 1, "category_id": 1, "bbox": box, "area": 1600, "iscrowd": 0}
        for i, box in enumerate(([0, 0, 40, 40], [50, 50, 40, 40]))
    ],
}


def _result(box: list[float], score: float) -> dict:
    return {"image_id": 1, "category_id": 1, "bbox": box, "score": score}


def test_ap_by_hand():
    exact = [_result([0, 0, 40, 40], 0.9), _result([50, 50, 40, 40], 0.8)]
    assert average_precision(TRUTH, exact, "bbox")["AP"] == pytest.approx(1)
    # One of two found: precision 1 up to recall 0.5, that is at 51 of COCO's 101 recall levels.
    assert average_precision(TRUTH, exact[:1], "bbox")["AP"] == pytest.approx(51 / 101)
    # An IoU of 0.75 counts at 6 of the 10 thresholds 0.50:0.95.
    shifted = [_result([0, 0, 30, 40], 0.9), _result([50, 50, 30, 40], 0.8)]
    assert average_precision(TRUTH, shifted, "bbox")["AP"] == pytest.approx(0.6)
    assert average_precision(TRUTH, shifted, "bbox")["AP75"] == pytest.approx(1)


def test_no_results_score_zero():
    assert average_precision(TRUTH, [], "bbox")["AP"] == 0
