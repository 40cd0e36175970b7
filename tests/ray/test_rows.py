"""What is known of a picture, as a row; no Ray needed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskrt.errors import ArgumentError, ModelError
from maskrt.ray import Predictor
from maskrt.ray.deployment import Replica, application, build
from maskrt.ray.rows import failed_row, found_row, name_of, to_lines, to_table
from maskrt.runtime import Segmenter
from maskrt.runtime.images.read import ImageTooLargeError

from ..support.bombs import jpeg_of_scans, png_bomb

BLANK = np.zeros((48, 64, 3), np.uint8)
PNG = cv2.imencode(".png", BLANK)[1].tobytes()


@pytest.fixture
def model(write_model: Callable[..., Path]) -> Path:
    return write_model(keypoints=True)


def test_rows_are_coco_records(model: Path) -> None:
    found = Segmenter(model).predict(BLANK)
    row = found_row("a.png", found)
    assert (row["file_name"], row["width"], row["height"], row["error"]) == ("a.png", 64, 48, None)
    records = [{"image_id": 0, **{k: v for k, v in one.items() if k != "category"}} for one in row["instances"]]
    assert records == found.to_coco(0)
    lines = to_lines([row, failed_row("b.png", "gone")])
    assert [json.loads(line) for line in lines.splitlines()] == [row, failed_row("b.png", "gone")]


def test_rows_as_a_table(model: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed, which maskrt[ray] brings")
    row = found_row("größe.png", Segmenter(model).predict(BLANK))
    table = to_table([row, failed_row("b.png", "gone")])
    assert table.to_pylist() == [row, failed_row("b.png", "gone")]
    assert to_table([]).schema == table.schema


def test_names_that_are_no_text() -> None:
    assert name_of("größe.png") == "größe.png"
    assert name_of(os.fsdecode(b"\xff.png")) == "\\xff.png"


def test_a_predictor_has_the_results_of_predict(model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no picture")
    names = ("a.png", "empty.png", "text.png", "gone.png", "a.png")
    paths = [str(tmp_path / name) for name in names]
    rows = Predictor(str(model), batch_size=1, score_threshold=0.2).rows(paths)
    assert [row["file_name"] for row in rows] == paths
    expected = found_row(paths[0], Segmenter(model).predict(BLANK, score_threshold=0.2))
    assert rows[0] == rows[4] == expected
    errors = [row["error"] for row in rows[1:4]]
    assert errors[0].endswith("is empty (0 bytes).") and "not an image" in errors[1] and "no such file" in errors[2]


def test_what_a_predictor_cannot_do(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="Expected a column path"):
        Predictor(str(model))({"image": np.zeros(1)})
    with pytest.raises(ModelError, match="there is no such file"):
        Predictor(str(tmp_path / "none.onnx")).rows(["a.png"])
    with pytest.raises(ArgumentError, match="score_threshold should be between 0 and 1"):
        Predictor(str(model), score_threshold=2).rows(["a.png"])


def test_a_replica_of_a_deployment(model: Path) -> None:
    replica = Replica(str(model), threads=1, batch_size=2)
    asked = replica.question(PNG, {"score_threshold": "0.7"})
    assert asked == (PNG, 0.7, replica.metadata.nms_threshold)
    (found,) = replica.answer([asked])
    assert not isinstance(found, Exception) and len(found) == 1
    for given, sentence in (
        ({"score": 1}, "There is no option 'score'"),
        ({"nms_threshold": "x"}, "nms_threshold should be a number from 0 to 1, but is 'x'"),
        ({"nms_threshold": 7}, "nms_threshold should be a number from 0 to 1, but is '7'"),
    ):
        with pytest.raises(ArgumentError, match=sentence):
            replica.question(PNG, given)
    for bomb, sentence in (
        (png_bomb(), "60000x60000 pixels; at most 50,000,000 are decoded"),
        (jpeg_of_scans(101), "a JPEG of 101 scans; at most 100 are decoded"),
        (b"x" * 20_000_001, "20,000,001 bytes; at most 20,000,000 are taken"),
    ):
        (refused,) = replica.answer([replica.question(bomb, {})])
        assert isinstance(refused, ImageTooLargeError) and sentence in str(refused)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "model=FILE is missing"),
        ({"model": "m.onnx", "gpus": "1"}, "there is no gpus"),
        ({"model": "m.onnx", "num_gpus": "x"}, "num_gpus should be a number, but is 'x'"),
        ({"model": "m.onnx", "batch_size": "0"}, "batch_size should be at least 1"),
    ],
    ids=["model", "unknown", "text", "none"],
)
def test_arguments_of_an_application(arguments: dict[str, str], sentence: str) -> None:
    with pytest.raises(ArgumentError, match=sentence):
        application(arguments)


def test_numbers_of_a_deployment() -> None:
    with pytest.raises(ArgumentError, match="num_replicas"):
        build("m.onnx", num_replicas=0)
