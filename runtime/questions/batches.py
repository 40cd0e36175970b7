"""Pictures that come from many sides as few runs of the model, with the results that each would have alone."""

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from maskrt.errors import MaskrtError
from maskrt.runtime.backends.base import Detections
from maskrt.runtime.questions.question import PictureLimits, Question, decode_picture
from maskrt.runtime.segmenter import Segmenter
from maskrt.runtime.structures.instances import Instances
from maskrt.runtime.transforms.canvas import Batch, join_batches


class Answered(NamedTuple):
    """A picture that was run.

    Attributes:
        detections: of this picture.
        run: when the run began, `time.perf_counter`.
        seconds: that the run took.
    """

    detections: Detections
    run: float
    seconds: float


def run_together(
    segmenter: Segmenter, batches: Sequence[Batch], questions: Sequence[Question]
) -> list[Answered | Exception]:
    """Run the model once; where it fails on several pictures, on each alone, so that only the one at fault fails.

    Args:
        segmenter: does the work.
        batches: one picture each, on canvases of one size: on another canvas it would have another result.
        questions: those pictures' thresholds.
    """
    begun = time.perf_counter()
    try:
        detections = segmenter.infer(
            join_batches(batches),
            score_threshold=[question.score_threshold for question in questions],
            nms_threshold=[question.nms_threshold for question in questions],
        )
    except (MaskrtError, MemoryError) as error:
        if len(batches) == 1:
            return [error.with_traceback(None)]
        pairs = zip(batches, questions, strict=True)
        return [result for batch, question in pairs for result in run_together(segmenter, [batch], [question])]
    seconds = time.perf_counter() - begun
    return [Answered(detections.images(slice(i, i + 1)), begun, seconds) for i in range(len(batches))]


class Batches:
    """Answers questions, many at a time.

    Pictures whose canvases have one size are run as one batch. Each has its own thresholds.

    Args:
        segmenter: does the work.
        size: of a batch, at the most.
        limits: what is taken.
    """

    def __init__(self, segmenter: Segmenter, size: int, limits: PictureLimits) -> None:
        self._segmenter, self._size, self._limits = segmenter, size, limits
        self._pool = ThreadPoolExecutor(min(os.cpu_count() or 1, 8), "maskrt")

    def answer(self, questions: Sequence[Question]) -> list[Instances | Exception]:
        """Return what `Segmenter.predict` gives for each picture, or the error that it raises."""
        results: list[Instances | Exception | None] = [None] * len(questions)
        alike: dict[tuple[int, ...], list[tuple[int, Batch]]] = {}
        for i, prepared in enumerate(self._pool.map(self._prepare, questions)):
            if isinstance(prepared, Exception):
                results[i] = prepared
            else:
                alike.setdefault(prepared.frames.shape, []).append((i, prepared))
        for group in alike.values():
            for start in range(0, len(group), self._size):
                chunk = group[start : start + self._size]
                batches = [batch for _, batch in chunk]
                answered = run_together(self._segmenter, batches, [questions[i] for i, _ in chunk])
                for (i, _), result in zip(chunk, self._pool.map(self._finish, answered, batches), strict=True):
                    results[i] = result
        return results  # type: ignore[return-value]  # each has been set

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _prepare(self, question: Question) -> Batch | Exception:
        try:
            return self._segmenter.preprocess([decode_picture(question.picture, self._limits)])
        except (MaskrtError, MemoryError) as error:
            return error

    def _finish(self, answered: Answered | Exception, batch: Batch) -> Instances | Exception:
        if isinstance(answered, Exception):
            return answered
        try:
            (instances,) = self._segmenter.postprocess(answered.detections, batch)
        except (MaskrtError, MemoryError) as error:
            return error
        return instances
