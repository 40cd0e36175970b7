"""What the command-line tool writes besides JSON and overlays."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from maskrt.runtime import Segmenter, read_image

WriteModel = Callable[..., Path]
MakeClip = Callable[..., Path]
Infer = Callable[..., Any]
NUMBER_OF_INSTANCES = 3  # of the small model, in each image


@pytest.fixture
def photos(tmp_path: Path, rng: np.random.Generator) -> list[Path]:
    """Two that share a name, and one."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    files = [folder / "a.png", folder / "more" / "a.png", folder / "z.png"]
    for file, size in zip(files, ((90, 120), (100, 75), (33, 44)), strict=True):
        cv2.imwrite(str(file), rng.integers(0, 256, (*size, 3), dtype=np.uint8))
    return files


def table_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_table_of_images(infer: Infer, photos: list[Path], tmp_path: Path) -> None:
    assert infer(*photos, "--format", "csv", "--score-threshold", "0").code == 0
    rows = table_of(tmp_path / "out" / "instances.csv")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert len(rows) == len(results) == len(photos) * NUMBER_OF_INSTANCES
    for row, record in zip(rows, results, strict=True):
        assert row["file"] == str(photos[record["image_id"] - 1])
        assert [float(row[side]) for side in ("x", "y", "width", "height")] == record["bbox"]
        assert (float(row["score"]), int(row["label"])) == (record["score"], record["category_id"])
        assert int(row["area"]) == coco_mask.area(record["segmentation"])
    assert [row["instance"] for row in rows] == ["1", "2", "3"] * len(photos)


def test_label_masks_and_crops(infer: Infer, write_model: WriteModel, photos: list[Path], tmp_path: Path) -> None:
    options = ("--format", "class-masks", "instance-masks", "crops", "--score-threshold", "0")
    assert infer(*photos, *options, "--overlay-threshold", "0.4").code == 0
    segmenter = Segmenter(write_model(), threads=1)
    for file, stem in zip(photos, ("a", "a_2", "z"), strict=True):
        image = read_image(file)
        instances = segmenter.predict(image, score_threshold=0.4)
        assert len(instances) == 2
        classes, numbers = np.zeros(image.shape[:2], int), np.zeros(image.shape[:2], int)
        for number, mask in reversed(list(enumerate(instances.masks()))):
            classes[mask], numbers[mask] = instances.labels[number], number + 1
        for name, expected, dtype in (("class", classes, np.uint8), ("instance", numbers, np.uint16)):
            found = cv2.imread(str(tmp_path / "out" / f"{name}-masks" / f"{stem}.png"), cv2.IMREAD_UNCHANGED)
            assert found.dtype == dtype
            np.testing.assert_array_equal(found, expected)
        cuts = sorted((tmp_path / "out" / "crops" / stem).iterdir())
        assert [cut.name for cut in cuts] == [f"{i + 1:03}_{name}.png" for i, name in enumerate(instances.names)]
        for cut, (left, top, mask) in zip(cuts, instances.crops(), strict=True):
            found = cv2.imread(str(cut), cv2.IMREAD_UNCHANGED)
            np.testing.assert_array_equal(found[..., 3], mask * np.uint8(255))
            region = image[top : top + mask.shape[0], left : left + mask.shape[1]]
            np.testing.assert_array_equal(found[..., 2::-1], region)


def test_polygons_are_the_masks(infer: Infer, photos: list[Path], tmp_path: Path) -> None:
    assert infer(*photos, "--polygons", "--score-threshold", "0").code == 0
    truth = COCO(str(tmp_path / "out" / "instances.json"))
    found = truth.loadRes(str(tmp_path / "out" / "results.json"))
    assert len(truth.anns) == len(photos) * NUMBER_OF_INSTANCES
    for one, other in zip(truth.loadAnns(truth.getAnnIds()), found.loadAnns(found.getAnnIds()), strict=True):
        assert isinstance(one["segmentation"], list)
        np.testing.assert_array_equal(truth.annToMask(one), found.annToMask(other))


def test_what_an_earlier_run_left_goes(infer: Infer, photos: list[Path], tmp_path: Path) -> None:
    options = ("--format", "crops", "class-masks", "--overlay-threshold", "0")
    assert infer(*photos, *options).code == 0
    own = tmp_path / "out" / "crops" / "a" / "mine.png"
    own.write_bytes(b"of the user")
    assert infer(photos[2], *options).code == 0
    left = {file for folder in ("crops", "class-masks") for file in (tmp_path / "out" / folder).rglob("*.png")}
    assert left == {own, *(tmp_path / "out" / "crops" / "z").iterdir(), tmp_path / "out" / "class-masks" / "z.png"}


def test_a_run_that_goes_on_writes_the_same(infer: Infer, photos: list[Path], tmp_path: Path) -> None:
    options = ("--format", "crops", "csv")
    assert infer(photos[0], *options).code == 0
    first = {file: file.read_bytes() for file in (tmp_path / "out" / "crops").rglob("*.png")}
    assert infer(*photos, *options, "--resume").code == 0
    assert first.items() <= {file: file.read_bytes() for file in (tmp_path / "out" / "crops").rglob("*.png")}.items()
    assert {row["file"] for row in table_of(tmp_path / "out" / "instances.csv")} == set(map(str, photos))
    assert infer(*photos, "--format", "class-masks", "--resume").code == 2


def test_a_table_of_a_video(infer: Infer, make_clip: MakeClip, tmp_path: Path) -> None:
    clip = make_clip()
    assert infer(clip, "--format", "csv").code == 0
    rows = table_of(tmp_path / "out" / f"{clip.stem}.csv")
    lines = [json.loads(line) for line in (tmp_path / "out" / f"{clip.stem}.jsonl").read_text().splitlines()]
    expected = [(line["frame"], record["score"]) for line in lines for record in line["instances"]]
    assert [(int(row["frame"]), float(row["score"])) for row in rows] == expected
    assert expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["CLIP", "--format", "crops"], "--format crops is for image files, but"),
        (["CLIP", "--polygons"], "--polygons is for instances.json, which is written of image files alone"),
        (["PHOTO", "--track"], "--track follows objects through videos, but images are given"),
    ],
)
def test_what_does_not_go_together(
    infer: Infer, make_clip: MakeClip, photos: list[Path], options: list[str], message: str
) -> None:
    names = {"CLIP": make_clip(), "PHOTO": photos[0]}
    result = infer(*(names.get(option, option) for option in options))
    assert result.code == 2
    assert message in result.err


def test_masks_of_a_model_without_them(infer: Infer, write_model: WriteModel, photos: list[Path]) -> None:
    model = write_model("boxes.onnx", masks=False)
    for option in (["--polygons"], ["--format", "class-masks"], ["--format", "instance-masks"]):
        result = infer(*photos, *option, model=model)
        assert result.code == 2
        assert f"{' '.join(option)} needs masks, but the model is a detector" in result.err
    assert infer(*photos, "--format", "crops", "csv", model=model).code == 0


def test_without_trackers(infer: Infer, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "trackers", None)
    result = infer(make_clip(), "--track")
    assert result.code == 2
    assert "--track needs trackers" in result.err
    assert "pip install --no-deps trackers" in result.err
    assert not (tmp_path / "out").exists()
