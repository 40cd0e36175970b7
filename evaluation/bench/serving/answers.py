"""Whether an answer is that of the picture that was sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import numpy as np

from maskrt.evaluation.metrics.match import Detections, match_detections


class Verdict(Enum):
    """Of an answer, beside those that the server gave to each picture alone.

    Attributes:
        RIGHT: bit for bit that of the picture.
        DEVIATING: more like that of the picture than like any other: an engine that rounds otherwise in a batch.
        MIXED_UP: more like that of another picture.
        DAMAGED: none.
    """

    RIGHT = auto()
    DEVIATING = auto()
    MIXED_UP = auto()
    DAMAGED = auto()


@dataclass(frozen=True)
class _Answer:
    """Of `POST /predict`: all that it says of the picture, and the parts of it by which pictures are told apart."""

    content: dict[str, Any]
    image_size: tuple[int, ...]
    detections: Detections


class Expected:
    """The answers to pictures that were sent alone.

    Args:
        bodies: of the answers, one for each picture.

    Raises:
        ValueError: one of them is none of `POST /predict`.
    """

    def __init__(self, bodies: Sequence[bytes]) -> None:
        self._answers = [_read(body) for body in bodies]

    @property
    def told_apart(self) -> bool:
        """Whether pictures have answers of their own, by which one that went to the wrong client would be found."""
        first, *others = self._answers
        return any(other.content != first.content for other in others)

    def judge(self, picture: int, body: bytes) -> Verdict:
        """Compare an answer with those of all pictures; `picture` is the number of the one that was sent."""
        try:
            answer = _read(body)
        except ValueError:
            return Verdict.DAMAGED
        if answer.content == self._answers[picture].content:
            return Verdict.RIGHT
        likeness = [_likeness(answer, expected) for expected in self._answers]
        return Verdict.DEVIATING if likeness[picture] == max(likeness) > 0 else Verdict.MIXED_UP


def _read(body: bytes) -> _Answer:
    try:
        content = json.loads(body)
        content.pop("seconds")
        records = content["instances"]
        boxes = np.array([record["bbox"] for record in records], np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        scores = np.array([record["score"] for record in records], np.float64)
        labels = np.array([record["category_id"] for record in records], np.int64)
        return _Answer(content, tuple(content["image_size"]), Detections(boxes, scores, labels))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no answer of /predict: {error!r}") from None


def _likeness(a: _Answer, b: _Answer) -> float:
    """Compute twice the detections that both have over those of both, 0 to 1; pictures of other sizes are not alike."""
    if a.image_size != b.image_size:
        return 0.0
    number = len(a.detections) + len(b.detections)
    return 2 * len(match_detections(a.detections, b.detections).pairs) / number if number else 1.0
