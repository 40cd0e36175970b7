"""Pictures from many sides as few runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskrt.errors import ImageError, ModelError
from maskrt.runtime import Segmenter
from maskrt.runtime.images.read import ImageTooLargeError
from maskrt.runtime.questions.batches import Batches
from maskrt.runtime.questions.question import PictureLimits, Question
from maskrt.runtime.structures.instances import Instances

LIMITS = PictureLimits(max_pixels=10_000)


@pytest.fixture
def segmenter(write_model: Callable[..., Path]) -> Segmenter:
    return Segmenter(write_model(keypoints=True))


def count_runs(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The batch of each run from now on."""
    runs, infer = list[int](), segmenter.infer

    def counted(batch: Any, **thresholds: Any) -> Any:
        runs.append(len(batch.image_sizes))
        return infer(batch, **thresholds)

    monkeypatch.setattr(segmenter, "infer", counted)
    return runs


def test_canvases_of_one_size_share_runs(
    segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    sizes = [(48, 64), (64, 48), (48, 64), (48, 64), (64, 48), (48, 64)]
    pictures = [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    scores = [0.1, 0.5, 0.7, 0.2, 0.95, 0.4]
    expected = [segmenter.predict(picture, score_threshold=s) for picture, s in zip(pictures, scores, strict=True)]
    runs = count_runs(segmenter, monkeypatch)
    batches = Batches(segmenter, 3, LIMITS)
    found = batches.answer([Question(picture, s, 0.5) for picture, s in zip(pictures, scores, strict=True)])
    batches.close()
    assert sorted(runs) == [1, 2, 3]
    for result, wanted in zip(found, expected, strict=True):
        assert isinstance(result, Instances)
        assert (result.boxes == wanted.boxes).all() and result.rle() == wanted.rle()


def test_one_that_fails_harms_no_other(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    infer = segmenter.infer

    def fail(batch: Any, *, score_threshold: Any, nms_threshold: Any) -> Any:
        if 0.25 in score_threshold:
            raise ModelError("no memory")
        return infer(batch, score_threshold=score_threshold, nms_threshold=nms_threshold)

    monkeypatch.setattr(segmenter, "infer", fail)
    blank = np.zeros((48, 64, 3), np.uint8)
    png = cv2.imencode(".png", blank)[1].tobytes()
    pictures: list[bytes | np.ndarray] = [blank, b"x", png, blank, np.zeros((200, 200, 3), np.uint8), blank]
    questions = [Question(picture, 0.25 if i == 3 else 0.1, 0.5) for i, picture in enumerate(pictures)]
    found = Batches(segmenter, 8, LIMITS).answer(questions)
    kinds = [Instances, ImageError, Instances, ModelError, ImageTooLargeError, Instances]
    assert [type(result) for result in found] == kinds
    assert "200x200 pixels; at most 10,000 are taken" in str(found[4])
