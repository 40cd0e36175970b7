"""Cityscapes' own AP against the script that Cityscapes gives out, on files as it reads them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskrt.errors import ArgumentError
from maskrt.evaluation.evaluate.cli import main as evaluate
from maskrt.evaluation.metrics.cityscapes import CLASSES, convert
from maskrt.evaluation.metrics.cityscapes_ap import check_cityscapes, cityscapes_ap
from maskrt.evaluation.metrics.dataset import CocoDataset, read_ground_truth
from maskrt.evaluation.results.evaluate import Evaluation
from maskrt.evaluation.results.files import read_result

pytest.importorskip("cityscapesscripts", reason="cityscapesScripts is not installed")
SIZE = (160, 240)
VOID, ROAD = 3, 7  # "out of roi", which nobody evaluates, and a class without instances

# The script; NumPy has lost the name of a function that it uses, and counts in a type that its JSON cannot take.
SCRIPT = """
import json, sys
import numpy as np
np.in1d = np.isin
from cityscapesscripts.evaluation import evalInstanceLevelSemanticLabeling as script
script.writeDict2JSON = lambda *_: None
script.args.quiet, script.args.JSONOutput, script.args.predictionPath = True, False, sys.argv[1]
script.args.gtInstancesFile = sys.argv[1] + "/instances.json"
predictions, truth = json.load(open(sys.argv[1] + "/lists.json"))
print(json.dumps(script.evaluateImgLists(predictions, truth, script.args)["averages"]))
"""


def draw_blob(rng: np.random.Generator, largest: int) -> np.ndarray:
    """An ellipse somewhere in the picture, `[H, W]` bool."""
    canvas = np.zeros(SIZE, np.uint8)
    center = rng.integers(0, SIZE[1]), rng.integers(0, SIZE[0])
    cv2.ellipse(canvas, [int(c) for c in center], rng.integers(2, largest, 2).tolist(), 30, 0, 360, 1, -1)
    return canvas.astype(bool)


def draw_truth(rng: np.random.Generator) -> np.ndarray:
    """Objects, small ones, groups and parts that nobody labelled, `[H, W]` uint16."""
    ids = np.full(SIZE, ROAD, np.uint16)
    for _ in range(3):
        ids[draw_blob(rng, 50)] = VOID
    for number in range(10):
        label = int(rng.choice(list(CLASSES)[:5]))  # three classes have no object
        ids[draw_blob(rng, 8 if number % 3 == 0 else 40)] = label * 1000 + number
    for label in list(CLASSES)[:3]:
        ids[draw_blob(rng, 30)] = label
    return ids


def draw_results(rng: np.random.Generator, ids: np.ndarray, image: int) -> list[dict[str, Any]]:
    """What is there, moved a little and found twice at times; and what is not."""
    from pycocotools import mask as coco_mask

    masks = []
    for value in np.unique(ids).tolist():
        label = value // 1000 if value >= 1000 else value
        if label in CLASSES:
            moves = rng.integers(-4, 5, (int(rng.integers(0, 3)), 2))
            masks += [(label, np.roll(ids == value, move, axis=(0, 1))) for move in moves]
    masks += [(int(rng.choice(list(CLASSES)[:6])), draw_blob(rng, 40)) for _ in range(6)]
    results = []
    for label, mask in masks:
        rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
        segmentation = {"size": rle["size"], "counts": rle["counts"].decode()}
        score = float(rng.integers(1, 40)) / 40  # some are tied
        results.append({"image_id": image, "category_id": label, "score": score, "segmentation": segmentation})
    return results


@pytest.fixture
def made(tmp_path: Path) -> tuple[CocoDataset, list[dict[str, Any]]]:
    """A data set of 8 pictures, and what a model found in it."""
    rng = np.random.default_rng(0)
    truth, images = (tmp_path / kind / "val" / "town" for kind in ("gtFine", "leftImg8bit"))
    for folder in (truth, images):
        folder.mkdir(parents=True)
    results = []
    for number in range(8):
        ids = draw_truth(rng)
        cv2.imwrite(str(truth / f"town_{number:06}_000019_gtFine_instanceIds.png"), ids)
        cv2.imwrite(str(images / f"town_{number:06}_000019_leftImg8bit.png"), np.zeros((*SIZE, 3), np.uint8))
        results += draw_results(rng, ids, number + 1)
    (tmp_path / "instances.json").write_text(json.dumps(convert(tmp_path, "val")))
    return read_ground_truth(tmp_path / "instances.json", tmp_path), results


def test_equals_the_script(made: tuple[CocoDataset, list[dict[str, Any]]], tmp_path: Path) -> None:
    from pycocotools import mask as coco_mask

    dataset, results = made
    folder = tmp_path / "predictions"
    folder.mkdir()
    lists: tuple[list[str], list[str]] = ([], [])
    for image in dataset.truth["images"]:
        lines = []
        for number, record in enumerate(r for r in results if r["image_id"] == image["id"]):
            mask = f"{image['id']}_{number}.png"
            cv2.imwrite(str(folder / mask), coco_mask.decode(record["segmentation"]) * 255)
            lines.append(f"{mask} {record['category_id']} {record['score']}\n")
        (folder / f"{image['id']}.txt").write_text("".join(lines))
        lists[0].append(str(folder / f"{image['id']}.txt"))
        lists[1].append(str(tmp_path / image["instance_ids"]))
    (folder / "lists.json").write_text(json.dumps(lists))
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    expected = json.loads(done.stdout)
    found = cityscapes_ap(dataset, results)
    np.testing.assert_allclose([found.AP, found.AP50], [expected["allAp"], expected["allAp50%"]], atol=1e-12)
    assert 0.05 < found.AP < found.AP50 < 0.95
    of_class = {own.name: own for own in found.per_class}
    assert of_class.keys() == expected["classes"].keys() == set(CLASSES.values())
    for name, own in expected["classes"].items():
        for key, value in (("ap", of_class[name].AP), ("ap50%", of_class[name].AP50)):
            assert value is None if np.isnan(own[key]) else value == pytest.approx(own[key], abs=1e-12)
    assert None in {own.AP for own in found.per_class}


def test_without_a_detection_it_is_none(made: tuple[CocoDataset, list[dict[str, Any]]]) -> None:
    dataset, _ = made
    assert cityscapes_ap(dataset, []).AP == 0


def test_the_command(
    made: tuple[CocoDataset, list[dict[str, Any]]],
    write_model: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = write_model(class_names=["__background__", *CLASSES.values()])
    command = [str(model), "--dataset", str(tmp_path / "instances.json"), "--images", str(tmp_path)]
    assert evaluate([*command, "--metric", "cityscapes", "--output", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    result = read_result(tmp_path / "out" / "evaluate.json")
    assert isinstance(result, Evaluation)
    (record,) = result.models
    detections = json.loads((tmp_path / "out" / record.results).read_text())
    assert record.cityscapes == cityscapes_ap(made[0], detections)
    assert record.mask is not None
    assert "Cityscapes' own AP of masks" in shown
    assert evaluate([*command, "--output", str(tmp_path / "out")]) == 0
    assert "Cityscapes" not in capsys.readouterr().out


def test_what_does_not_fit_is_refused(made: tuple[CocoDataset, list[dict[str, Any]]], tmp_path: Path) -> None:
    dataset, results = made
    boxes = [{key: value for key, value in record.items() if key != "segmentation"} for record in results]
    with pytest.raises(ArgumentError, match="is of masks, but the model finds none"):
        cityscapes_ap(dataset, boxes)
    small = {**results[0], "segmentation": {"size": [2, 2], "counts": "04"}}
    with pytest.raises(ArgumentError, match=r"A mask of image 1 is \(2, 2\), but"):
        cityscapes_ap(dataset, [small])
    for image in dataset.truth["images"]:
        del image["instance_ids"]
    with pytest.raises(ArgumentError, match="does not name Cityscapes' ground truth of its images"):
        check_cityscapes(dataset)
    dataset.truth["categories"].append({"id": 1, "name": "disk"})
    with pytest.raises(ArgumentError, match="has no class disk with that id"):
        check_cityscapes(dataset)
