import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from maskrt.shapes import dataset
from maskrt.shapes.dataset import ground_truth, write_dataset
from maskrt.shapes.scenes import generate_scene


def test_dataset_is_coco_format_and_says_what_the_scenes_hold(tmp_path):
    path = write_dataset(tmp_path / "scenes", 3)
    coco = COCO(path)
    assert sorted(coco.imgs) == [1, 2, 3]
    assert json.loads(path.read_text()) == ground_truth(3)
    for image_id, entry in coco.imgs.items():
        scene = generate_scene(image_id - 1, "test")
        stored = cv2.cvtColor(cv2.imread(str(path.parent / entry["file_name"])), cv2.COLOR_BGR2RGB)
        np.testing.assert_array_equal(stored, scene.image)
        records = coco.loadAnns(coco.getAnnIds(image_id))
        assert [record["category_id"] for record in records] == scene.labels.tolist()
        for record, mask in zip(records, scene.masks, strict=True):
            np.testing.assert_array_equal(coco_mask.decode(record["segmentation"]).astype(bool), mask)
            rows, columns = np.nonzero(mask)
            x, y, w, h = record["bbox"]
            assert (x, y, x + w, y + h) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert record["area"] == mask.sum()
    assert {category["name"] for category in coco.cats.values()} >= {"disk", "star"}


def test_a_picture_that_cannot_be_written_is_an_error_and_no_dataset(tmp_path, capsys):
    (tmp_path / "00001.png").mkdir()
    assert dataset.main(["--output", str(tmp_path), "--limit", "3"]) == 2
    assert f"maskrt.shapes.dataset: Cannot write to {tmp_path}: Is a directory." in capsys.readouterr().err
    assert not (tmp_path / "annotations.json").exists()


def test_a_limit_of_none(tmp_path, capsys):
    with pytest.raises(SystemExit):
        dataset.main(["--output", str(tmp_path), "--limit", "0"])
    assert "expected a whole number from 1, got 0" in capsys.readouterr().err
