"""Which picture an answer is of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from maskrt.evaluation.bench.serving.answers import Expected, Verdict


def body(*boxes: list[float], size: tuple[int, int] = (40, 60), score: float = 0.5, seconds: float = 0.1) -> bytes:
    records = [{"category": "dog", "category_id": 1, "score": score, "bbox": box} for box in boxes]
    content: dict[str, Any] = {"model": "tiny", "image_size": size, "instances": records, "seconds": {"infer": seconds}}
    return json.dumps(content).encode()


FIRST, SECOND = [1.0, 1.0, 10.0, 10.0], [20.0, 20.0, 10.0, 10.0]


def test_verdicts() -> None:
    expected = Expected([body(FIRST), body(SECOND), body(size=(50, 60))])
    assert expected.told_apart
    for picture, answer, verdict in (
        (0, body(FIRST, seconds=0.7), Verdict.RIGHT),
        (0, body(FIRST, score=0.5000001), Verdict.DEVIATING),
        (0, body([1.0, 1.0, 10.0, 10.00001], SECOND), Verdict.DEVIATING),
        (0, body(SECOND), Verdict.MIXED_UP),
        (1, body(FIRST, score=0.5000001), Verdict.MIXED_UP),
        (0, body(FIRST, size=(41, 60)), Verdict.MIXED_UP),
        (2, body(size=(50, 60)), Verdict.RIGHT),
        (2, body(FIRST), Verdict.MIXED_UP),
        (0, b"{", Verdict.DAMAGED),
        (0, b"[]", Verdict.DAMAGED),
        (0, body(FIRST)[:-9], Verdict.DAMAGED),
        (0, json.dumps({"seconds": 1, "instances": [{}]}).encode(), Verdict.DAMAGED),
    ):
        assert expected.judge(picture, answer) is verdict, (picture, answer)


def test_pictures_that_cannot_be_told_apart() -> None:
    assert not Expected([body(FIRST)]).told_apart
    assert not Expected([body(FIRST), body(FIRST, seconds=3)]).told_apart


def test_answers_that_are_none() -> None:
    with pytest.raises(ValueError, match="no answer of /predict"):
        Expected([b'{"error": "no"}'])
