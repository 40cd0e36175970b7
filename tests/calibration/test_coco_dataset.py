import json

import pytest

from maskrt.calibration.coco_dataset import category_ids, read_coco
from maskrt.runtime import ArgumentError

NAMES = ["__background__", "disk", "ring"]


def write(folder, name="annotations.json", **changes):
    content = {
        "images": [{"id": 7, "file_name": "a.png"}],
        "categories": [{"id": 30, "name": "ring"}, {"id": 40, "name": "cat"}],
        "annotations": [{"id": 1}],
    }
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**content, **changes}))
    return path


@pytest.mark.parametrize(
    ("json_name", "image"),
    [
        ("annotations.json", "a.png"),
        ("annotations.json", "images/a.png"),
        ("labels/annotations.json", "a.png"),
        ("annotations/instances_val2017.json", "val2017/a.png"),
    ],
)
def test_images_are_found_where_coco_data_sets_keep_them(tmp_path, json_name, image):
    path = write(tmp_path, json_name)
    (tmp_path / image).parent.mkdir(exist_ok=True)
    (tmp_path / image).touch()
    assert {number: file.resolve() for number, file in read_coco(path).files.items()} == {7: tmp_path / image}


def test_classes_are_matched_by_name(tmp_path):
    (tmp_path / "a.png").touch()
    assert category_ids(read_coco(write(tmp_path)), NAMES) == [None, None, 30]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": None}, "has no list of images"),
        ({"images": [{"id": 1}]}, "has no list of images"),
        ({"images": []}, "names no images"),
        ({"images": [{"id": 1, "file_name": "b.png"}]}, r"names the image b\.png, but it is in none of"),
        ({"annotations": []}, "has no annotations"),
        ({"categories": [{"id": 1, "name": "cat"}]}, "has the categories cat; none of them is a class of the model"),
    ],
)
def test_what_does_not_fit(tmp_path, changes, message):
    (tmp_path / "a.png").touch()
    with pytest.raises(ArgumentError, match=message):
        category_ids(read_coco(write(tmp_path, **changes)), NAMES)


def test_what_is_no_json(tmp_path):
    with pytest.raises(ArgumentError, match="cannot be read"):
        read_coco(tmp_path / "missing.json")
    (tmp_path / "text.json").write_text("hello")
    with pytest.raises(ArgumentError, match="is not a COCO JSON file"):
        read_coco(tmp_path / "text.json")
