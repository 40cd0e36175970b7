import json

import pytest
from pycocotools import mask as coco_mask

from maskrt.evaluation.metrics.coco import box_and_mask_ap
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
            {
                "categories": [{"id": 30, "name": "ring"}, {"id": 31, "name": "ring"}],
                "annotations": [ANNOTATION, {**ANNOTATION, "category_id": 31}],
            },
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
    with pytest.raises(ArgumentError, match=r"Cannot read the data set .*missing.json: there is no such file"):
        read_coco(tmp_path / "missing.json")
    (tmp_path / "text.json").write_text("hello")
    with pytest.raises(ArgumentError, match="is not a COCO JSON file"):
        read_coco(tmp_path / "text.json")


IMAGE = {"id": 7, "file_name": "a.png", "width": 60, "height": 40}
SQUARE = [5, 5, 25, 5, 25, 25, 5, 25]
MASKED = {**ANNOTATION, "segmentation": [SQUARE]}


def read(tmp_path, **changes):
    (tmp_path / "a.png").touch()
    return read_ground_truth(write(tmp_path, **{"images": [IMAGE], **changes}))


@pytest.mark.parametrize(
    "categories",
    [
        [{"id": 0, "name": "ring", "supercategory": "none"}, {"id": 30, "name": "ring", "supercategory": "ring"}],
        [{"id": 30, "name": "ring"}, {"id": 31, "name": "ring"}],
        [{"id": 1, "name": "ring"}, {"id": 2, "name": "ring"}, {"id": 30, "name": "ring"}],
        [{"id": 0, "name": "rings"}, {"id": 30, "name": "ring"}],
    ],
)
def test_a_category_that_nothing_is_of(tmp_path, categories):
    """Roboflow's files begin with a root, which has the name of the project."""
    dataset = read(tmp_path, categories=categories)
    assert category_ids(dataset, NAMES) == [None, None, 30]
    spare = [f"ring ({entry['id']})" for entry in categories if entry["name"] == "ring" and entry["id"] != 30]
    assert all(name in "".join(dataset.notes) for name in spare)
    assert bool(dataset.notes) == bool(spare)


BAD_MASKS = [
    [[5, 5, 25, 25]],
    [[]],
    [[5, 5]],
    [[], []],
    [[1, 2, 3, "4", 5, 6]],
    "abc",
    5,
    {"size": [1, 1], "counts": "abc"},
    {"counts": 7},
    [SQUARE, "abc"],
    SQUARE,
]


@pytest.mark.parametrize("mask", BAD_MASKS, ids=str)
def test_a_mask_that_cannot_be_used(tmp_path, mask):
    """It is named and left out; what is found in its box counts neither for nor against."""
    bad = {**ANNOTATION, "id": 77, "segmentation": mask}
    dataset = read(tmp_path, annotations=[MASKED, bad, MASKED])
    assert dataset.left_out == 1
    (note,) = dataset.notes
    assert "1 of 3 annotations are left out: annotation 77 has a mask" in note
    assert [entry["iscrowd"] for entry in dataset.truth["annotations"]] == [0, 1, 0]
    box = [1, 2, 3, 4]
    truth = {
        **dataset.truth,
        "annotations": [{**MASKED, "id": 1, "bbox": [30, 30, 9, 9]}, dataset.truth["annotations"][1]],
    }
    rectangle = [[30, 30, 39, 30, 39, 39, 30, 39]]
    truth["annotations"][0] |= {"segmentation": rectangle, "area": 81, "iscrowd": 0}
    encoded = [coco_mask.frPyObjects(polygon, 40, 60)[0] for polygon in (rectangle, [[1, 2, 4, 2, 4, 6, 1, 6]])]
    found = [
        {"image_id": 7, "category_id": 30, "bbox": place, "segmentation": rle, "score": score}
        for place, rle, score in (([30, 30, 9, 9], encoded[0], 0.8), (box, encoded[1], 0.9))
    ]
    of_boxes, of_masks = box_and_mask_ap(truth, found)
    assert pytest.approx(1) == of_boxes.overall.AP
    assert of_masks is not None
    assert pytest.approx(1) == of_masks.overall.AP


@pytest.mark.parametrize("strokes", [[[1, 2]], [[]], [[1, 2, 3, 4], [5, 6]]], ids=str)
@pytest.mark.parametrize("place", [0, 1])
def test_strokes_beside_a_polygon(tmp_path, strokes, place):
    mask = [*strokes, SQUARE] if place == 0 else [SQUARE, *strokes]
    dataset = read(tmp_path, annotations=[{**ANNOTATION, "segmentation": mask}])
    assert dataset.truth["annotations"][0]["segmentation"] == [SQUARE]
    assert dataset.left_out == 0
    assert "enclose nothing, are left out of 1 masks" in dataset.notes[0]


@pytest.mark.parametrize(
    "bad",
    [{"image_id": 99}, {"category_id": 99}, {"bbox": None}, {"bbox": [1, 2]}, {"iscrowd": 7}, {"area": "big"}],
    ids=str,
)
def test_other_annotations_that_cannot_be_used(tmp_path, bad):
    dataset = read(tmp_path, annotations=[ANNOTATION, {**ANNOTATION, "id": 77, **bad}, ANNOTATION])
    assert sum(not entry["iscrowd"] for entry in dataset.truth["annotations"]) == 2
    assert "annotation 77 " in dataset.notes[0]


def test_most_annotations_cannot_be_used(tmp_path):
    with pytest.raises(ArgumentError, match=r"annotation 0 has no bbox .* 2 of 3 annotations cannot be used"):
        read(tmp_path, annotations=[ANNOTATION, *[{**ANNOTATION, "bbox": None}] * 2])


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("a.png", ""),
        ("sub\\a.png", "backslashes"),
        (".\\sub\\a.png", "backslashes"),
        ("sub/a.png", ""),
        ("/home/somebody/set/a.png", "by their names alone"),
        ("C:\\set\\a.png", "by their names alone"),
    ],
)
def test_names_of_other_machines(tmp_path, name, note):
    place = tmp_path / ("sub/a.png" if "sub" in name else "a.png")
    place.parent.mkdir(exist_ok=True)
    place.touch()
    dataset = read_coco(write(tmp_path, images=[{"id": 7, "file_name": name}]))
    assert dataset.files[7].resolve() == place
    assert note in "".join(dataset.notes)
    assert bool(note) == bool(dataset.notes)


def test_two_images_are_never_taken_for_one(tmp_path):
    (tmp_path / "a.png").touch()
    images = [{"id": 7, "file_name": "/x/a.png"}, {"id": 8, "file_name": "/y/a.png"}]
    with pytest.raises(ArgumentError, match=r"in none of"):
        read_coco(write(tmp_path, images=images))


def test_a_byte_order_mark(tmp_path):
    (tmp_path / "a.png").touch()
    path = write(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_coco(path).files
    path.write_bytes(path.read_bytes()[3:].decode().encode("utf-16"))
    with pytest.raises(ArgumentError, match=r"expected text in UTF-8"):
        read_coco(path)


def test_lvis_names_addresses_and_is_not_measured_by_cocos_rules(tmp_path):
    (tmp_path / "val2017").mkdir()
    (tmp_path / "val2017/a.jpg").write_bytes(b"")
    image = {"id": 7, "coco_url": "http://images.cocodataset.org/val2017/a.jpg", "height": 4, "width": 4}
    path = write(tmp_path, images=[image])
    assert read_coco(path).files == {7: tmp_path / "val2017/a.jpg"}
    path = write(tmp_path, images=[{**image, "neg_category_ids": [3]}])
    assert read_coco(path).files == {7: tmp_path / "val2017/a.jpg"}
    with pytest.raises(ArgumentError, match="is annotated as LVIS is"):
        read_ground_truth(path)
