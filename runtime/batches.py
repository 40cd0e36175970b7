"""Pictures that come from many sides as few runs of the model, with the results that each would have alone."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from maskrt.errors import MaskrtError
from maskrt.runtime.backends.base import Detections
from maskrt.runtime.images.read import ImageTooLargeError, check_image, decode_image
from maskrt.runtime.segmenter import Segmenter
from maskrt.runtime.structures.instances import Instances
from maskrt.runtime.transforms.canvas import Batch, join_batches

_NAME = "The picture"


class Question(NamedTuple):
    """A picture, as an image file or as pixels [H, W, 3] uint8 RGB, and its thresholds, 0 to 1."""

    picture: bytes | np.ndarray
    score_threshold: float
    nms_threshold: float


class Batches:
    """Answers questions, many at a time.

    Pictures whose canvases have one size are run as one batch; others would get another padding than alone, and so
    another result. Each has its own thresholds.

    Args:
        segmenter: does the work.
        size: of a batch, at the most.
        max_pixels: of a picture.
    """

    def __init__(self, segmenter: Segmenter, size: int, max_pixels: int) -> None:
        self._segmenter, self._size, self._max_pixels = segmenter, size, max_pixels
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
                found = self._run([batch for _, batch in chunk], [questions[i] for i, _ in chunk])
                for (i, _), result in zip(chunk, found, strict=True):
                    results[i] = result
        return results  # type: ignore[return-value]  # each has been set

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _prepare(self, question: Question) -> Batch | Exception:
        try:
            return self._segmenter.preprocess([self._decode(question.picture)])
        except (MaskrtError, MemoryError) as error:
            return error

    def _decode(self, picture: bytes | np.ndarray) -> np.ndarray:
        if isinstance(picture, bytes):
            return decode_image(picture, _NAME, self._max_pixels)
        if picture.shape[0] * picture.shape[1] > self._max_pixels:
            raise ImageTooLargeError(
                f"{_NAME} has {picture.shape[1]}x{picture.shape[0]} pixels; at most {self._max_pixels:,} are taken."
            )
        return check_image(picture)

    def _run(self, batches: Sequence[Batch], questions: Sequence[Question]) -> list[Instances | Exception]:
        """Run the model; where it fails on several pictures, on each alone, so that only the one at fault fails."""
        try:
            detections = self._segmenter.infer(
                join_batches(batches),
                score_threshold=[question.score_threshold for question in questions],
                nms_threshold=[question.nms_threshold for question in questions],
            )
        except (MaskrtError, MemoryError) as error:
            if len(batches) == 1:
                return [error]
            pairs = zip(batches, questions, strict=True)
            return [result for batch, question in pairs for result in self._run([batch], [question])]
        each = [detections.images(slice(i, i + 1)) for i in range(len(batches))]
        return list(self._pool.map(self._finish, each, batches))

    def _finish(self, detections: Detections, batch: Batch) -> Instances | Exception:
        try:
            (instances,) = self._segmenter.postprocess(detections, batch)
        except (MaskrtError, MemoryError) as error:
            return error
        return instances
