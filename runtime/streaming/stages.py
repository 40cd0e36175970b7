"""The steps from image files or arrays to instances, as stages of a pipeline over batches of images.

An image that fails keeps its error and does no harm to its neighbours in the batch: one that cannot be read is left
out, and a batch that fails as a whole is run again image by image.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypedDict, TypeVar

import numpy as np

from maskrt.errors import MaskrtError, ModelError
from maskrt.runtime.backends.base import Detections
from maskrt.runtime.streaming.pipeline import Stage
from maskrt.runtime.streaming.stopwatch import Stopwatch
from maskrt.runtime.structures.instances import Instances
from maskrt.runtime.transforms.canvas import Batch

ImageLike = np.ndarray | str | Path
Value = TypeVar("Value")
AnyJob = TypeVar("AnyJob", bound="Job")


@dataclass(eq=False)
class Job:
    """One image on its way.

    Attributes:
        source: what the decode stage makes the image of: an array, the path of an image file, a frame of a video.
        image: the decoded image.
        instances: the result.
        error: why there is none.
    """

    source: Any
    image: np.ndarray | None = None
    instances: Instances | None = None
    error: MaskrtError | None = None

    @property
    def result(self) -> Instances | MaskrtError:
        """`instances`, or why there are none."""
        return self.instances if self.error is None else self.error  # type: ignore[return-value]  # one is there


class Steps(Protocol):
    """What the stages do to a batch, in the words of `Segmenter`."""

    @property
    def runs_at_once(self) -> int:
        """See `Segmenter.runs_at_once`."""

    def read(self, image: ImageLike) -> np.ndarray:
        """See `Segmenter.read`."""

    def preprocess(self, images: Sequence[np.ndarray]) -> Batch:
        """See `Segmenter.preprocess`."""

    def infer(self, batch: Batch, *, score_threshold: float | None, nms_threshold: float | None) -> Detections:
        """See `Segmenter.infer`."""

    def postprocess(self, detections: Detections, batch: Batch) -> list[Instances]:
        """See `Segmenter.postprocess`."""


class _Thresholds(TypedDict):
    score_threshold: float | None
    nms_threshold: float | None


class _Run(NamedTuple):
    """One run of the model."""

    jobs: Sequence[Job]
    batch: Batch
    detections: Detections


def in_batches(values: Iterable[Value], size: int) -> Iterator[list[Value]]:
    """Yield lists of `size` successive values, the last perhaps shorter; also where `values` ends in an error."""
    batch: list[Value] = []
    try:
        for value in values:
            batch.append(value)
            if len(batch) == size:
                yield batch
                batch = []
    except Exception:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def for_each(jobs: Sequence[AnyJob], function: Callable[[AnyJob], None]) -> None:
    """Call `function` for every job that has not failed; what it raises becomes that job's error."""
    for job in jobs:
        if job.error is not None:
            continue
        try:
            function(job)
        except MaskrtError as error:
            # The traceback's frames hold the job, which holds the error: without it no image lives on in a cycle.
            job.error = error.with_traceback(None)
        except MemoryError:
            job.error = ModelError("there is not enough memory for this image.")


class BatchStages:
    """The stages of `Segmenter.predict` for a pipeline whose items are lists of `Job`.

    Args:
        segmenter: does the work.
        score_threshold, nms_threshold: as for `Segmenter.predict`.
        stopwatch: adds up the time of each stage.
        decode: makes a job's image of its source. None: `Segmenter.read`.
    """

    def __init__(
        self,
        segmenter: Steps,
        *,
        score_threshold: float | None,
        nms_threshold: float | None,
        stopwatch: Stopwatch,
        decode: Callable[[Any], np.ndarray] | None = None,
    ) -> None:
        self._segmenter = segmenter
        self._thresholds: _Thresholds = {"score_threshold": score_threshold, "nms_threshold": nms_threshold}
        self._stopwatch = stopwatch
        self._read = decode or segmenter.read

    def stages(self) -> list[Stage]:
        """Make the stages: lists of jobs in, the same lists out, each job with `instances` or `error`."""
        return [
            Stage("decode", self._decode),
            Stage("preprocess", self._preprocess),
            Stage("infer", self._infer, self._segmenter.runs_at_once),
            Stage("postprocess", self._postprocess),
        ]

    def image_stages(self, predict: Callable[[np.ndarray], Instances]) -> list[Stage]:
        """Make the same with `predict`, for one image at a time, in place of the segmenter's steps."""

        def infer_image(job: Job) -> None:
            assert job.image is not None
            job.instances = predict(job.image)

        def infer(jobs: list[Job]) -> list[Job]:
            with self._stopwatch.stage("infer"):
                for_each(jobs, infer_image)
            return jobs

        return [Stage("decode", self._decode), Stage("infer", infer)]

    def _decode(self, jobs: list[Job]) -> list[Job]:
        def decode(job: Job) -> None:
            job.image = self._read(job.source)

        with self._stopwatch.stage("decode"):
            for_each(jobs, decode)
        return jobs

    def _preprocess(self, jobs: list[Job]) -> tuple[list[Job], Batch | None]:
        whole = [job for job in jobs if job.error is None]
        try:
            with self._stopwatch.stage("preprocess"):
                return jobs, self._segmenter.preprocess(_images(whole)) if whole else None
        except (MaskrtError, MemoryError):
            return jobs, None  # the next stage finds out which image it is

    def _infer(self, value: tuple[list[Job], Batch | None]) -> tuple[list[Job], list[_Run]]:
        jobs, batch = value
        whole = [job for job in jobs if job.error is None]
        runs: list[_Run] = []

        def infer_alone(job: Job) -> None:
            runs.append(self._run([job], self._segmenter.preprocess(_images([job])) if batch is None else batch))

        with self._stopwatch.stage("infer"):
            if batch is not None and len(whole) > 1:
                try:
                    return jobs, [self._run(whole, batch)]
                except (MaskrtError, MemoryError):
                    batch = None  # its memory may be what is missing
            for_each(whole, infer_alone)
        return jobs, runs

    def _run(self, jobs: Sequence[Job], batch: Batch) -> _Run:
        return _Run(jobs, batch, self._segmenter.infer(batch, **self._thresholds))

    def _postprocess(self, value: tuple[list[Job], list[_Run]]) -> list[Job]:
        jobs, runs = value
        with self._stopwatch.stage("postprocess"):
            for run in runs:
                for i, job in enumerate(run.jobs):
                    for_each([job], partial(self._finish, run, slice(i, i + 1)))
        return jobs

    def _finish(self, run: _Run, one: slice, job: Job) -> None:
        batch = run.batch._replace(image_sizes=run.batch.image_sizes[one], original_sizes=run.batch.original_sizes[one])
        (job.instances,) = self._segmenter.postprocess(run.detections.images(one), batch)


def _images(jobs: Sequence[Job]) -> list[np.ndarray]:
    return [job.image for job in jobs if job.image is not None]
