"""Objects followed from frame to frame."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskrt.runtime import Instances

pytest.importorskip("trackers", reason="trackers is not installed")

from maskrt.runtime.video.tracking import Tracker

NAMES = ("__background__", "disk", "ring")


def found(boxes: list[list[float]], scores: list[float] | None = None) -> Instances:
    return Instances(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.array(scores or [0.9] * len(boxes), np.float32),
        labels=np.arange(len(boxes), dtype=np.int32) % 2 + 1,
        segmentations=None,
        class_names=NAMES,
        image_size=(200, 300),
    )


def test_objects_that_pass_each_other_keep_their_numbers() -> None:
    tracker = Tracker()
    for frame in range(20):
        right, left = [10.0 + 8 * frame, 20, 40 + 8 * frame, 60], [200.0 - 8 * frame, 100, 240 - 8 * frame, 150]
        instances = found([right, left] if frame % 2 else [left, right])
        followed = tracker.follow(instances, frame / 25)
        assert followed.track_ids is not None
        assert followed.track_ids.dtype == np.int32
        np.testing.assert_array_equal(followed.boxes, instances.boxes)
        if frame == 0:
            assert followed.track_ids.tolist() == [0, 0]
        if frame == 1:
            first = dict(zip((tuple(box) for box in (right, left)), followed.track_ids.tolist(), strict=True))
            numbers = list(first.values())
            assert sorted(numbers) == [1, 2]
        if frame > 1:
            assert followed.track_ids.tolist() == (numbers if frame % 2 else numbers[::-1])


def test_frames_without_objects_and_frames_of_one_time() -> None:
    tracker = Tracker()
    for seconds in (0.0, 0.0, 0.5, 0.5, 90.0):
        followed = tracker.follow(found([]), seconds)
        assert followed.track_ids is not None
        assert followed.track_ids.shape == (0,)
    assert tracker.follow(found([[0, 0, 9, 9]]), 91.0).track_ids is not None


def test_they_are_part_of_the_instances() -> None:
    instances = dataclasses.replace(found([[0, 0, 9, 9], [5, 5, 30, 30]]), track_ids=np.array([7, 0], np.int32))
    assert [record["track_id"] for record in instances.to_coco(1)] == [7, 0]
    chosen = instances[1:]
    assert chosen.track_ids is not None
    assert chosen.track_ids.tolist() == [0]
    drawn, plain = (one.draw(np.full((200, 300, 3), 90, np.uint8)) for one in (instances, found([[0, 0, 9, 9]])))
    assert not np.array_equal(drawn, plain)


@pytest.mark.parametrize("frames", [1, 2])
def test_a_video_of_few_frames(infer: Any, make_clip: Callable[..., Path], frames: int, tmp_path: Path) -> None:
    result = infer(make_clip(times=range(frames)), "--track")
    assert result.code == 0, result.err
    lines = (tmp_path / "out" / "clip.jsonl").read_text().splitlines()
    found = [[record["track_id"] for record in json.loads(line)["instances"]] for line in lines]
    assert len(found) == frames
    assert found[0] == [0] * len(found[0])


def test_a_video_without_objects(infer: Any, make_clip: Callable[..., Path]) -> None:
    assert infer(make_clip(), "--track", "--format", "csv", "--score-threshold", "1").code == 0


def test_numbers_are_stable_over_a_video_of_the_shapes(
    infer: Any, shapes_onnx: Path, write_video: Callable[..., Path], tmp_path: Path
) -> None:
    """A camera that pans over a scene: each object keeps its number while it is in the picture."""
    from maskrt.shapes.scenes import generate_scene

    scene = generate_scene(3, "train")
    moves = [np.array([[1, 0, 3 * step], [0, 1, 2 * step]], np.float32) for step in range(16)]
    size = scene.image.shape[1] // 2 * 2, scene.image.shape[0] // 2 * 2
    frames = [cv2.warpAffine(scene.image, move, size, borderValue=(90, 90, 90)) for move in moves]
    video = write_video(frames)
    result = infer(video, "--track", "--format", "csv", model=shapes_onnx)
    assert result.code == 0, result.err
    lines = [json.loads(line) for line in (tmp_path / "out" / f"{video.stem}.jsonl").read_text().splitlines()]
    sure = [{r["track_id"]: r["bbox"] for r in line["instances"] if r["score"] > 0.9} for line in lines[2:]]
    assert len(sure[0]) >= 2
    moved = [
        np.array(after[number][:2]) - np.array(before[number][:2])
        for before, after in itertools.pairwise(sure)
        for number in before.keys() & after.keys()
    ]
    # A box may jump where the model sees another edge in one frame, but most move as the camera does.
    assert np.mean(np.abs(np.array(moved) - [3, 2]).max(axis=1) <= 4) >= 0.8
    seen = {number for boxes in sure for number in boxes}
    assert 0 not in seen
    assert len(seen) <= len(scene.labels) + 1
    rows = (tmp_path / "out" / f"{video.stem}.csv").read_text().splitlines()
    assert rows[0].startswith("frame,time,instance,track,label,class")
