from pathlib import Path

import cv2
import numpy as np
import pytest

from maskrt.evaluation.metrics.cityscapes import main
from maskrt.evaluation.metrics.dataset import category_ids, read_ground_truth


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One picture: two cars, a group of bicycles, a car's licence plate (-1 as uint16), road (7)."""
    instance_ids = np.full((40, 60), 7, np.uint16)
    instance_ids[5:15, 10:30] = 26000
    instance_ids[20:30, 10:20] = 26001
    instance_ids[20:40, 40:60] = 33
    instance_ids[10:12, 12:16] = 65535
    truth, image = (tmp_path / kind / "val" / "town" for kind in ("gtFine", "leftImg8bit"))
    for folder in (truth, image):
        folder.mkdir(parents=True)
    cv2.imwrite(str(truth / "town_000000_000019_gtFine_instanceIds.png"), instance_ids)
    cv2.imwrite(str(image / "town_000000_000019_leftImg8bit.png"), np.zeros((40, 60, 3), np.uint8))
    return tmp_path


def test_conversion(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(root)]) == 0
    path = root / "instances_gtFine_val.json"
    assert f"--dataset {path}" in capsys.readouterr().out
    dataset = read_ground_truth(path)
    assert dataset.files == {1: root / "leftImg8bit/val/town/town_000000_000019_leftImg8bit.png"}
    found = [(a["category_id"], a["bbox"], a["area"], a["iscrowd"]) for a in dataset.truth["annotations"]]
    assert found == [
        (33, [40, 20, 20, 20], 400, 1),
        (26, [10, 5, 20, 10], 200 - 8, 0),
        (26, [10, 20, 10, 10], 100, 0),
    ]
    assert category_ids(dataset, ["__background__", "bicycle", "car"]) == [None, 33, 26]


def test_what_is_not_there(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(root), "--split", "test"]) == 2
    assert "a split whose annotations are public: train or val" in capsys.readouterr().err
    damaged = root / "gtFine/val/town/town_000000_000019_gtFine_instanceIds.png"
    damaged.write_bytes(b"no image")
    assert main([str(root)]) == 2
    assert "is not an image with one channel" in capsys.readouterr().err
    assert not list(root.glob("*.json"))
