"""One pass over a source of pictures: through the model, to the writers of results."""

import sys
import time
from collections.abc import Generator
from contextlib import closing
from functools import partial

from maskrt.command import INTERRUPTED, USAGE
from maskrt.errors import MaskrtError
from maskrt.runtime.inference.progress import Progress
from maskrt.runtime.inference.settings import Settings
from maskrt.runtime.inference.sources import PictureJob, Source, Tally
from maskrt.runtime.inference.writers.base import NoMoreRoom, Writer
from maskrt.runtime.inference.writers.registry import WRITERS
from maskrt.runtime.segmenter import Segmenter
from maskrt.runtime.streaming.pipeline import PipelineError, Stage, run_pipeline
from maskrt.runtime.streaming.stages import BatchStages, for_each, in_batches
from maskrt.runtime.streaming.stopwatch import Stopwatch
from maskrt.runtime.tiling.predict import predict_tiled
from maskrt.runtime.video.tracking import Tracker
from maskrt.terminal import say


class Run:
    """One pass over a source, and what came of it.

    Args:
        segmenter: finds the instances.
        source: of the pictures.
        settings: of the user.

    Attributes:
        stages: of the pipeline: the model's, what the writers prepare, and their writing.

    Raises:
        MaskrtError: a writer cannot begin.
    """

    def __init__(self, segmenter: Segmenter, source: Source, settings: Settings) -> None:
        self._source = source
        self._settings = settings
        self._stopwatch = Stopwatch()
        self._progress = Progress(source.total, sys.stderr, source.unit)
        self._tally = Tally()
        self._reported = 0
        opened = (opener(source, settings, segmenter.class_names) for opener in WRITERS.values())
        self._writers = [writer for writer in opened if writer is not None]
        self._results: list[str] = []
        self._is_lost = self._is_over = False
        stages = BatchStages(
            segmenter,
            score_threshold=settings.thresholds.score,
            nms_threshold=settings.thresholds.nms,
            stopwatch=self._stopwatch,
            decode=source.decode,
        )
        if settings.tile is None:
            first = stages.stages()
        else:
            predict = partial(
                predict_tiled,
                segmenter,
                tile_size=settings.tile,
                batch_size=settings.batch_size,
                score_threshold=settings.thresholds.score,
                nms_threshold=settings.thresholds.nms,
            )
            first = stages.image_stages(predict)
        if settings.track:
            first = [*first, Stage("track", partial(self._follow, Tracker()))]
        self.stages = [
            *first,
            *(Stage(writer.stage, partial(self._prepare, writer)) for writer in self._writers),
            Stage("write", self._write),
        ]

    def execute(self) -> int:
        """Work through the pictures, write the results, return the exit code (see infer.py)."""
        problem = ""
        start = time.perf_counter()
        try:
            try:
                self._work()
            finally:
                self._close()
        except KeyboardInterrupt:
            self._tally.interrupted = True
        except (MaskrtError, PipelineError) as error:
            problem = str(error)
        self._tally.seconds = time.perf_counter() - start
        self._progress.close()
        if problem:
            say(f"maskrt infer: {problem}", file=sys.stderr)
        if self._is_lost and not self._source.is_sequence:
            return USAGE
        say(*self._source.summary(self._tally), *self._results)
        if self._settings.timings:
            say(*self._stopwatch.table(self._tally.done).splitlines())
        if self._tally.interrupted:
            return INTERRUPTED
        return 1 if problem or self._tally.failed or self._source.losses() else 0

    def batches(self) -> Generator[list[PictureJob]]:
        """Yield what the first stage takes."""
        with closing(self._source.jobs()) as jobs:
            yield from in_batches(jobs, 1 if self._settings.tile else self._settings.batch_size)

    def _work(self) -> None:
        with closing(self.batches()) as batches, closing(run_pipeline(batches, self.stages)) as outcomes:
            for outcome in outcomes:
                failure = None if outcome.error is None else outcome.failure()
                ends = self._source.is_sequence or isinstance(outcome.error, NoMoreRoom)
                if failure is not None and ends:
                    raise outcome.error if isinstance(outcome.error, MaskrtError) else failure
                for job in outcome.item:
                    self._report(job, job.error or failure)

    def _report(self, job: PictureJob, error: Exception | None) -> None:
        self._tally.last = job.number
        has_line = self._reported % self._source.pictures_per_line == 0
        self._reported += 1
        if error is not None:
            self._tally.failed += 1
            self._progress.fail(f"failed: {self._source.describe_failure(job, error)}")
        else:
            self._progress.step(f"{self._source.name(job)}: {job.instances}" if has_line else None)

    def _follow(self, tracker: Tracker, jobs: list[PictureJob]) -> list[PictureJob]:
        with self._stopwatch.stage("track"):
            for job in jobs:  # one after the other, as they come
                if job.instances is not None:
                    job.instances = tracker.follow(job.instances, job.source.seconds)
        return jobs

    def _prepare(self, writer: Writer, jobs: list[PictureJob]) -> list[PictureJob]:
        def prepare(job: PictureJob) -> None:
            job.prepared[writer] = writer.prepare(job)
            if writer is self._writers[-1]:
                job.image = None  # memory for the next ones

        with self._stopwatch.stage(writer.stage):
            for_each(jobs, prepare)
        return jobs

    def _write(self, jobs: list[PictureJob]) -> list[PictureJob]:
        """Run to the end also when the run is interrupted: all writers have the same pictures."""
        if self._is_over:  # and the pipeline has not been stopped yet
            return jobs
        with self._stopwatch.stage("write"):
            for job in jobs:
                for writer in self._writers:
                    self._write_one(writer, job)
                self._tally.taken += 1
                if job.error is None and job.instances is not None:
                    self._tally.done += 1
                    self._tally.instances += len(job.instances)
                job.image = None
                job.prepared.clear()
        return jobs

    def _write_one(self, writer: Writer, job: PictureJob) -> None:
        if not self._source.is_sequence:
            for_each([job], lambda job: writer.write(job, job.prepared[writer]))
            if isinstance(job.error, NoMoreRoom):
                self._is_over = True
                raise job.error
            return
        try:
            writer.write(job, job.prepared.get(writer))
        except BaseException:
            self._is_over = True
            raise

    def _close(self) -> None:
        """Let all writers finish, also where one fails."""
        failure = None
        for writer in self._writers:
            try:
                self._results += writer.close()
            except MaskrtError as error:
                failure = error
        if failure is not None:
            self._is_lost = True
            raise failure
