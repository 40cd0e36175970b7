"""From the picture of a request to its instances: the steps of `Segmenter.predict`, shared by many requests."""

import asyncio
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np

from maskrt.runtime.backends.base import Detections
from maskrt.runtime.questions.batches import Answered, run_together
from maskrt.runtime.questions.question import PictureLimits, Question, decode_picture
from maskrt.runtime.segmenter import Segmenter
from maskrt.runtime.serving.batching import Batcher
from maskrt.runtime.serving.metrics import Metrics
from maskrt.runtime.serving.refusals import Refusal
from maskrt.runtime.serving.settings import Batching, Limits
from maskrt.runtime.structures.instances import Instances
from maskrt.runtime.transforms.canvas import Batch

Answer = TypeVar("Answer")

STAGES = ("decode", "preprocess", "queue", "infer", "postprocess", "encode")
"""Of a picture, in order; "encode" is what the answer is made of: run lengths, drawing, JSON."""


@dataclass(eq=False)
class Found:
    """What was found in a picture, and the seconds of each stage so far."""

    instances: Instances
    picture: bytes | np.ndarray
    seconds: dict[str, float]


class _Prepared(NamedTuple):
    """A picture on a canvas of its own."""

    batch: Batch
    question: Question
    seconds: dict[str, float]
    ready: float


class _Ran(NamedTuple):
    """What the model gave for it."""

    detections: Detections
    queue_seconds: float
    infer_seconds: float


@dataclass(eq=False)
class _Load:
    """How many pictures are in flight, and how long one takes, for those who have to come back."""

    limit: int
    taken: int = 0
    seconds_each: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Service:
    """A model at work for many requests.

    Pictures are decoded and laid on canvases by a pool of threads, run by the batcher together with others whose
    canvas has the same size (so that none gets another padding, and another result, than alone), and finished by
    another pool.

    Args:
        segmenter: does the work.
        limits, batching: see there.
        metrics: counts it.
    """

    def __init__(self, segmenter: Segmenter, limits: Limits, batching: Batching, metrics: Metrics) -> None:
        self.segmenter = segmenter
        self._limits, self._metrics = PictureLimits(limits.max_bytes, limits.max_pixels), metrics
        self._load = _Load(limits.queue)
        threads = max(2, min(os.cpu_count() or 1, 8))
        self._before = ThreadPoolExecutor(threads, "prepare")
        self._after = ThreadPoolExecutor(threads, "finish")
        self._batcher: Batcher[_Prepared, _Ran] = Batcher(
            self._run, size=batching.size, delay=batching.delay, workers=segmenter.runs_at_once
        )

    @contextmanager
    def admit(self, pictures: int) -> Iterator[None]:
        """Take places for so many pictures, for as long as the `with` block lasts.

        Raises:
            Refusal: there are not so many now, or never.
        """
        load = self._load
        if pictures > load.limit:
            raise Refusal(413, f"The request has {pictures} pictures; at most {load.limit} are taken at once.")
        with load.lock:
            if load.taken + pictures > load.limit:
                wait = min(max(math.ceil(load.taken * load.seconds_each), 1), 60)
                waiting = f"{load.taken} picture{' is' if load.taken == 1 else 's are'} waiting"
                raise Refusal(503, f"The server is busy: {waiting}. Try again in {wait} s.", wait)
            load.taken += pictures
            self._metrics.in_flight.set(load.taken)
        try:
            yield
        finally:
            with load.lock:
                load.taken -= pictures
                self._metrics.in_flight.set(load.taken)

    async def segment(self, question: Question, encode: Callable[[Found], Answer]) -> Answer:
        """Find the instances in a picture, with the result of `Segmenter.predict`.

        Args:
            question: the picture, with its thresholds.
            encode: makes the answer of it, in a thread.

        Raises:
            MaskrtError: what `Segmenter.predict` raises.
        """
        loop = asyncio.get_running_loop()
        prepared = await loop.run_in_executor(self._before, self._prepare, question)
        ran = await asyncio.wrap_future(self._batcher.submit(prepared.batch.frames.shape, prepared))
        return await loop.run_in_executor(self._after, partial(self._finish, prepared, ran, encode))

    async def segment_all(self, questions: Sequence[Question], encode: Callable[[Found], Answer]) -> list[Answer]:
        """Do the same with several pictures at the same time; where one fails, the others are given up."""
        tasks = [asyncio.ensure_future(self.segment(question, encode)) for question in questions]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def parse(self, work: Callable[[], Answer]) -> Answer:
        """Read a large body in a thread, so that other requests go on."""
        return await asyncio.get_running_loop().run_in_executor(self._before, work)

    def close(self) -> None:
        """Finish what was taken, and end the threads."""
        self._before.shutdown()
        self._batcher.close()
        self._after.shutdown()

    def _prepare(self, question: Question) -> _Prepared:
        start = time.perf_counter()
        image = self.decode(question.picture)
        decoded = time.perf_counter()
        batch = self.segmenter.preprocess([image])
        ready = time.perf_counter()
        return _Prepared(batch, question, {"decode": decoded - start, "preprocess": ready - decoded}, ready)

    def decode(self, picture: bytes | np.ndarray) -> np.ndarray:
        """Return the pixels of a picture, [H, W, 3] uint8 RGB.

        Raises:
            MaskrtError: it is no image, or too large.
        """
        return decode_picture(picture, self._limits)

    def _run(self, items: Sequence[_Prepared]) -> Sequence[_Ran | Exception]:
        begun = time.perf_counter()
        batches, questions = [item.batch for item in items], [item.question for item in items]
        results = run_together(self.segmenter, batches, questions)
        runs = Counter(result.run for result in results if isinstance(result, Answered))
        for pictures in runs.values():
            self._metrics.batch_size.observe(pictures)
        each = (time.perf_counter() - begun) / len(items) / self.segmenter.runs_at_once
        self._load.seconds_each = 0.9 * self._load.seconds_each + 0.1 * each if self._load.seconds_each else each
        return [
            _Ran(result.detections, result.run - item.ready, result.seconds) if isinstance(result, Answered) else result
            for item, result in zip(items, results, strict=True)
        ]

    def _finish(self, prepared: _Prepared, ran: _Ran, encode: Callable[[Found], Answer]) -> Answer:
        start = time.perf_counter()
        (instances,) = self.segmenter.postprocess(ran.detections, prepared.batch)
        finished = time.perf_counter()
        seconds = prepared.seconds | {
            "queue": ran.queue_seconds,
            "infer": ran.infer_seconds,
            "postprocess": finished - start,
        }
        answer = encode(Found(instances, prepared.question.picture, seconds))
        seconds["encode"] = time.perf_counter() - finished
        for stage, value in seconds.items():
            self._metrics.stage_seconds.labels(stage).observe(value)
        self._metrics.images.inc()
        self._metrics.instances.inc(len(instances))
        return answer
