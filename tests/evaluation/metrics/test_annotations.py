from typing import Any

import pytest

from maskrt.evaluation.metrics.annotations import problem_of

IMAGES: dict[int, dict[str, Any]] = {7: {"id": 7, "height": 20, "width": 30}, 8: {"id": 8}}
POLYGON = [1, 1, 9, 1, 9.5, 9]


def _problem(**changes: Any) -> str | None:
    return problem_of({"image_id": 7, "category_id": 3, "bbox": [1, 2, 3.5, 4], **changes}, IMAGES, {3})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"image_id": 8},
        {"image_id": 8, "segmentation": []},
        {"area": 3.5, "iscrowd": 1},
        {"segmentation": None},
        {"segmentation": [POLYGON]},
        {"segmentation": [POLYGON, [1, 2, 3, 4]]},
        {"segmentation": {"size": [20, 30], "counts": [100, 50, 450]}},
        {"segmentation": {"size": [20, 30], "counts": "T3b1R>"}},
    ],
)
def test_what_pycocotools_takes(changes: dict[str, Any]) -> None:
    assert _problem(**changes) is None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"bbox": None}, "has no bbox [x, y, width, height]"),
        ({"bbox": [1, 2, 3]}, "has no bbox [x, y, width, height]"),
        ({"bbox": [1, 2, "3", 4]}, "has no bbox [x, y, width, height]"),
        ({"bbox": [1, 2, float("nan"), 4]}, "has no bbox [x, y, width, height]"),
        ({"image_id": 9}, "is of the image 9, which is not in the list"),
        ({"image_id": [7]}, "is of the image [7], which is not in the list"),
        ({"category_id": "3"}, "is of the category '3', which is not defined"),
        ({"area": "big"}, "has the area 'big', which is not a number"),
        ({"iscrowd": "no"}, "has iscrowd 'no', which should be 0 or 1"),
        ({"segmentation": "abc"}, "has a mask that is neither polygons"),
        ({"segmentation": {"size": [20, 30]}}, "has a mask that is neither polygons"),
        ({"segmentation": [[1, 2, 3, 4]]}, "has a mask that is neither polygons"),
        ({"segmentation": [1, 2, 3, 4, 5, 6]}, "has a mask that is neither polygons"),
        ({"segmentation": {"size": [30, 20], "counts": "abc"}}, "has a mask of [30, 20] pixels, but its image has [20"),
        *(
            ({"segmentation": {"size": [20, 30], "counts": counts}}, "has a mask whose RLE does not fit its size")
            for counts in ("abc", "\0zzz", "", "größe", [-5, 605], [5, 5], [0, 99999999999], [300.0, 300], ["a"], [])
        ),
        ({"image_id": 8, "segmentation": [POLYGON]}, "has a mask, for which height and width of its image 8"),
    ],
)
def test_what_it_does_not(changes: dict[str, Any], problem: str) -> None:
    assert (_problem(**changes) or "").startswith(problem)


def test_what_is_no_annotation() -> None:
    assert problem_of(5, IMAGES, {3}) == "is not an object with image_id, category_id and bbox"
