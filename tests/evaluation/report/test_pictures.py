import cv2
import numpy as np
import pytest

from maskrt.evaluation.report.document import Picture
from maskrt.evaluation.report.pictures import (
    Difference,
    difference_picture,
    find_difference,
    instances_from_json,
    overlay_picture,
)
from maskrt.evaluation.results.compare import EncodedMask, InstanceRecord
from maskrt.runtime import Instances

GREY = np.full((60, 80, 3), 200, np.uint8)


def make(*boxes: tuple[int, int, int, int], scores: list[float] | None = None, masks: bool = True) -> Instances:
    """Instances of one class whose masks fill their boxes."""
    from pycocotools import mask as coco_mask

    records = []
    for number, (left, top, right, bottom) in enumerate(boxes):
        mask = np.zeros((60, 80), np.uint8, order="F")
        mask[top:bottom, left:right] = 1
        rle = coco_mask.encode(mask)
        encoded = EncodedMask((60, 80), rle["counts"].decode()) if masks else None
        score = 0.9 if scores is None else scores[number]
        records.append(InstanceRecord((left, top, right, bottom), score, 1, "a", encoded))
    return instances_from_json(records, ["a"], (60, 80))


def decode(picture: Picture) -> np.ndarray:
    image = cv2.cvtColor(cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert image.shape[:2] == picture.size
    return image.astype(int)


def difference_of(masks: bool = True) -> Difference:
    reference = make((5, 5, 25, 25), (40, 30, 60, 50), masks=masks)
    candidate = make((60, 5, 75, 15), (5, 5, 29, 21), masks=masks)
    return find_difference(reference, candidate, 0.5)


@pytest.mark.parametrize("masks", [True, False])
def test_difference_by_hand(masks: bool):
    difference = difference_of(masks)
    lost, gained = np.zeros((2, 60, 80), bool)
    lost[21:25, 5:25] = gained[5:21, 25:29] = True
    np.testing.assert_array_equal(difference.lost, lost)
    np.testing.assert_array_equal(difference.gained, gained)
    assert difference.missing.boxes.tolist() == [[40, 30, 60, 50]]
    assert difference.extra.boxes.tolist() == [[60, 5, 75, 15]]
    assert difference.colors == [2, 0]
    assert str(difference) == "1 missing, 1 extra, 144 mask pixels different"


def test_a_score_that_crosses_the_threshold_is_no_difference():
    box, other = (5, 5, 25, 25), (40, 30, 60, 50)
    difference = find_difference(make(box, other, scores=[0.51, 0.3]), make(box, scores=[0.49]), 0.5)
    assert str(difference) == "no difference"
    assert str(find_difference(make(box, scores=[0.51]), make(), 0.5)) == "1 missing"
    assert str(find_difference(make(), make(box, scores=[0.49]), 0.5)) == "no difference"


def test_orange_is_lost_blue_is_gained_and_the_rest_is_dark_grey():
    picture = difference_picture(GREY, difference_of(), "INT8", "a.png")
    image = decode(picture)

    def colour(y: int, x: int) -> str:
        red, green, blue = image[y, x]
        if red > blue + 60:
            return "orange"
        return "blue" if blue > red + 60 else "grey" if red < 120 and abs(red - green) < 30 else "other"

    assert [colour(23, 12), colour(12, 27), colour(12, 12), colour(55, 70)] == ["orange", "blue", "grey", "grey"]
    assert colour(30, 50) == "orange"  # the outline of what is missing
    assert colour(40, 50) == "grey"  # and its inside
    assert colour(5, 68) == "blue"
    assert picture.alt == "Where INT8 differs on a.png: 1 missing, 1 extra, 144 mask pixels different"


def test_an_object_has_one_colour_in_every_overlay():
    left, right = (5, 25, 30, 55), (45, 25, 70, 55)
    both = decode(overlay_picture(GREY, make(left, right), [0, 1], "PyTorch", "a.png"))
    swapped = decode(overlay_picture(GREY, make(right, left), [1, 0], "INT8", "a.png"))
    assert np.abs(both[48, [15, 60]] - swapped[48, [15, 60]]).max() < 12
    assert np.abs(both[48, 15] - both[48, 60]).max() > 40


def test_large_pictures_are_made_smaller():
    image = np.zeros((600, 1920, 3), np.uint8)
    picture = overlay_picture(image, instances_from_json([], [], (600, 1920)), [], "FP32", "a.png")
    assert picture.size == (200, 640)
    assert picture.alt == "FP32 on a.png: nothing found"
