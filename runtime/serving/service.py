"""From the picture of a request to its instances: the steps of `Segmenter.predict`, shared by many requests."""

import asyncio
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np

from maskrt.errors import MaskrtError
from maskrt.runtime.backends.base import Detections
from maskrt.runtime.images.read import ImageTooLargeError, check_image, decode_image
from maskrt.runtime.segmenter import Segmenter
from maskrt.runtime.serving.batching import Batcher
from maskrt.runtime.serving.metrics import Metrics
from maskrt.runtime.serving.refusals import Refusal
from maskrt.runtime.serving.settings import Batching, Limits
from maskrt.runtime.structures.instances import Instances
from maskrt.runtime.transforms.canvas import Batch, join_batches

Answer = TypeVar("Answer")

STAGES = ("decode", "preprocess", "queue", "infer", "postprocess", "encode")
"""Of a picture, in order; "encode" is what the answer is made of: run lengths, drawing, JSON."""

_NAME = "The picture"
_MAX_SCANS = 100
"""Of a JPEG: each goes over all pixels, so that a small file of thousands would keep a core busy for minutes."""


class Thresholds(NamedTuple):
    """Of one picture, 0 to 1."""

    score: float
    nms: float


@dataclass(eq=False)
class Found:
    """What was found in a picture, and the seconds of each stage so far."""

    instances: Instances
    picture: bytes | np.ndarray
    seconds: dict[str, float]


class _Prepared(NamedTuple):
    """A picture on a canvas of its own."""

    batch: Batch
    thresholds: Thresholds
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
        self._limits, self._metrics = limits, metrics
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

    async def segment(
        self, picture: bytes | np.ndarray, thresholds: Thresholds, encode: Callable[[Found], Answer]
    ) -> Answer:
        """Find the instances in a picture, with the result of `Segmenter.predict`.

        Args:
            picture: an image file, or its pixels [H, W, 3] uint8 RGB.
            thresholds: of this picture.
            encode: makes the answer of it, in a thread.

        Raises:
            MaskrtError: what `Segmenter.predict` raises.
        """
        loop = asyncio.get_running_loop()
        prepared = await loop.run_in_executor(self._before, self._prepare, picture, thresholds)
        ran = await asyncio.wrap_future(self._batcher.submit(prepared.batch.frames.shape, prepared))
        return await loop.run_in_executor(self._after, partial(self._finish, picture, prepared, ran, encode))

    async def segment_all(
        self,
        pictures: Sequence[bytes | np.ndarray],
        thresholds: Sequence[Thresholds],
        encode: Callable[[Found], Answer],
    ) -> list[Answer]:
        """Do the same with several pictures at the same time; where one fails, the others are given up."""
        tasks = [asyncio.ensure_future(self.segment(*pair, encode)) for pair in zip(pictures, thresholds, strict=True)]
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

    def _prepare(self, picture: bytes | np.ndarray, thresholds: Thresholds) -> _Prepared:
        start = time.perf_counter()
        image = self.decode(picture)
        decoded = time.perf_counter()
        batch = self.segmenter.preprocess([image])
        ready = time.perf_counter()
        return _Prepared(batch, thresholds, {"decode": decoded - start, "preprocess": ready - decoded}, ready)

    def decode(self, picture: bytes | np.ndarray) -> np.ndarray:
        """Return the pixels of a picture, [H, W, 3] uint8 RGB.

        Raises:
            MaskrtError: it is no image, or too large.
        """
        most = self._limits.max_pixels
        if isinstance(picture, bytes):
            scans = len(re.findall(rb"\xff\xda", picture)) if picture.startswith(b"\xff\xd8") else 0
            if scans > _MAX_SCANS:
                raise ImageTooLargeError(f"{_NAME} is a JPEG of {scans} scans; at most {_MAX_SCANS} are decoded.")
            return decode_image(picture, _NAME, most)
        if picture.shape[0] * picture.shape[1] > most:
            raise ImageTooLargeError(
                f"{_NAME} has {picture.shape[1]}x{picture.shape[0]} pixels; at most {most:,} are taken."
            )
        return check_image(picture)

    def _run(self, items: Sequence[_Prepared]) -> Sequence[_Ran | Exception]:
        """Run the model; where it fails on several pictures, on each alone, so that only the one at fault fails."""
        start = time.perf_counter()
        try:
            batch = join_batches([item.batch for item in items])
            detections = self.segmenter.infer(
                batch,
                score_threshold=[item.thresholds.score for item in items],
                nms_threshold=[item.thresholds.nms for item in items],
            )
        except (MaskrtError, MemoryError) as error:
            if len(items) == 1:
                return [error.with_traceback(None)]
            return [result for item in items for result in self._run([item])]
        seconds = time.perf_counter() - start
        self._metrics.batch_size.observe(len(items))
        each = seconds / len(items) / self.segmenter.runs_at_once
        self._load.seconds_each = 0.9 * self._load.seconds_each + 0.1 * each if self._load.seconds_each else each
        return [_Ran(detections.images(slice(i, i + 1)), start - item.ready, seconds) for i, item in enumerate(items)]

    def _finish(
        self, picture: bytes | np.ndarray, prepared: _Prepared, ran: _Ran, encode: Callable[[Found], Answer]
    ) -> Answer:
        start = time.perf_counter()
        (instances,) = self.segmenter.postprocess(ran.detections, prepared.batch)
        finished = time.perf_counter()
        seconds = prepared.seconds | {
            "queue": ran.queue_seconds,
            "infer": ran.infer_seconds,
            "postprocess": finished - start,
        }
        answer = encode(Found(instances, picture, seconds))
        seconds["encode"] = time.perf_counter() - finished
        for stage, value in seconds.items():
            self._metrics.stage_seconds.labels(stage).observe(value)
        self._metrics.images.inc()
        self._metrics.instances.inc(len(instances))
        return answer
