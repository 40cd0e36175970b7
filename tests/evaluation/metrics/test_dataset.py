import json

import pytest

from maskrt.evaluation.metrics.dataset import category_ids, common_categories, read_coco, read_ground_truth
from maskrt.runtime import ArgumentError

NAMES = ["__background__", "disk", "ring"]
ANNOTATION = {"id": 0, "image_id": 7, "category_id": 30, "bbox": [1, 2, 3, 4]}


def write(folder, name="annotations.json", **changes):
    content = {
        "images": [{"id": 7, "file_name": "a.png"}],
        "categories": [{"id": 30, "name": "ring"}, {"id": 40, "name": "cat"}],
        "annotations": [ANNOTATION],
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


def test_images_in_a_folder_that_is_named(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").touch()
    assert read_coco(write(tmp_path), tmp_path / "pictures").files == {7: tmp_path / "pictures" / "a.png"}
    with pytest.raises(ArgumentError, match="there is no such folder of images"):
        read_coco(write(tmp_path), tmp_path / "nowhere")


def test_classes_are_matched_by_name_whatever_the_ids(tmp_path):
    """Ids with gaps, as COCO's; names without a class, as torchvision's "N/A"; a category without annotations."""
    (tmp_path / "a.png").touch()
    names = ["__background__", "disk", "N/A", "ring", "N/A"]
    assert category_ids(read_ground_truth(write(tmp_path)), names) == [None, None, None, 30, None]


def test_annotations_are_made_fit_for_pycocotools(tmp_path):
    """Id 0 would count as no match, and two of one id as one."""
    (tmp_path / "a.png").touch()
    crowd = {**ANNOTATION, "iscrowd": 1, "area": 5}
    truth = read_ground_truth(write(tmp_path, annotations=[ANNOTATION, crowd])).truth["annotations"]
    assert [(entry["id"], entry["iscrowd"], entry["area"]) for entry in truth] == [(1, 0, 12), (2, 1, 5)]


IMAGES = [{"id": 6, "file_name": "gone.png"}, {"id": 7, "file_name": "a.png"}, {"id": 8, "file_name": "lost.png"}]


def test_missing_images_are_an_error_or_left_out(tmp_path):
    (tmp_path / "a.png").touch()
    path = write(tmp_path, images=IMAGES, annotations=[{**ANNOTATION, "image_id": 6}, ANNOTATION])
    with pytest.raises(ArgumentError, match=r"2 of the 3 images of .*annotations.json are missing: .*gone.png, .*lost"):
        read_ground_truth(path)
    dataset = read_ground_truth(path, skip_missing=True)
    assert list(dataset.files) == [7]
    assert dataset.missing == 2
    assert [entry["image_id"] for entry in dataset.truth["annotations"]] == [7]
    assert [entry["id"] for entry in dataset.truth["images"]] == [7]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": None}, "has no list of images"),
        ({"images": [{"id": 1}]}, "has no list of images"),
        ({"images": []}, "names no images"),
        (
            {"images": [{"id": 1, "file_name": "b.png"}]},
            r"names the image b\.png, but it and all others are in none of",
        ),
        ({"annotations": []}, "has no annotations"),
        ({"annotations": None}, "has no annotations"),
        ({"annotations": {"1": ANNOTATION}}, "its annotations are not a list"),
        ({"annotations": [{"id": 5, "image_id": 7, "category_id": 30}]}, "its annotation 5 has no bbox"),
        ({"annotations": [ANNOTATION, 5]}, "its annotation number 2 is not an object"),
        ({"images": [{"id": "7", "file_name": "a.png"}]}, "the ids of its images should be whole numbers, each of"),
        ({"images": [{"id": 7, "file_name": "a.png"}] * 2}, "the ids of its images should be whole numbers, each of"),
        ({"categories": None}, "its annotation 0 is of the category 30, which is not defined"),
        ({"categories": ["ring"]}, "each of its categories should have a name and a whole number as id"),
        ({"categories": [{"id": 30}]}, "each of its categories should have a name and a whole number as id"),
        ({"categories": [{"id": "30", "name": "ring"}]}, "each of its categories should have a name and a whole"),
        (
            {"categories": [{"id": 30, "name": "cat"}]},
            "has annotations of cat, which the model does not know; the model has disk, ring, which the data set does "
            "not have; 0 are the same. Is it the right data set",
        ),
        (
            {"categories": [{"id": 30, "name": "ring"}, {"id": 31, "name": "ring"}]},
            "has more than one category of the name ring",
        ),
    ],
)
def test_what_does_not_fit(tmp_path, changes, message):
    (tmp_path / "a.png").touch()
    with pytest.raises(ArgumentError, match=message):
        category_ids(read_ground_truth(write(tmp_path, **changes)), NAMES)


def test_classes_in_common_alone(tmp_path):
    (tmp_path / "a.png").touch()
    path = write(tmp_path, annotations=[ANNOTATION, {**ANNOTATION, "category_id": 40}])
    dataset = read_ground_truth(path)
    with pytest.raises(ArgumentError, match=r"annotations of cat, .* 1 are the same. With --common-classes"):
        category_ids(dataset, NAMES)
    common = common_categories(dataset, NAMES)
    assert category_ids(common, NAMES) == [None, None, 30]
    assert [entry["category_id"] for entry in common.truth["annotations"]] == [30]
    with pytest.raises(ArgumentError, match="which the model does not know; 1 are the same"):
        category_ids(dataset, ["__background__", "ring"])
    with pytest.raises(ArgumentError, match="Is it the right data set"):
        common_categories(dataset, ["__background__", "car"])


def test_what_is_no_json(tmp_path):
    with pytest.raises(ArgumentError, match="cannot be read"):
        read_coco(tmp_path / "missing.json")
    (tmp_path / "text.json").write_text("hello")
    with pytest.raises(ArgumentError, match="is not a COCO JSON file"):
        read_coco(tmp_path / "text.json")
