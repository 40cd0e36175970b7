"""A run of `maskrt infer` over image files: overlays and COCO JSON."""

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from maskrt.command import INTERRUPTED, USAGE
from maskrt.errors import ImageError, MaskrtError
from maskrt.files import write_in_one_step
from maskrt.runtime.draw import draw_instances
from maskrt.runtime.inference.progress import Progress, count
from maskrt.runtime.inference.sources import unique_stems
from maskrt.runtime.inference.writers.coco import CocoResults
from maskrt.runtime.segmenter import Segmenter
from maskrt.runtime.streaming.pipeline import PipelineError, Stage, run_pipeline
from maskrt.runtime.streaming.stages import BatchStages, Job, for_each, in_batches
from maskrt.runtime.streaming.stopwatch import Stopwatch

# Full colour resolution: at the usual half of it, coloured outlines and text smear.
_JPEG_QUALITY = (
    cv2.IMWRITE_JPEG_QUALITY,
    93,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)


@dataclass(eq=False)
class _FileJob(Job):
    """An image file and its overlay, encoded."""

    number: int = 0
    overlay: bytes | None = None


class ImageRun:
    """One pass over image files, and what came of it.

    Args:
        segmenter: finds the instances.
        files: of images.
        options: of the command line.
        failed: how many inputs have failed before.

    Attributes:
        stages: of the pipeline.
    """

    def __init__(self, segmenter: Segmenter, files: Sequence[Path], options: Namespace, failed: int) -> None:
        self._files = files
        self._options = options
        self._overlay_stems = unique_stems([file.stem for file in files])
        self._results = CocoResults(segmenter.class_names)
        self._stopwatch = Stopwatch()
        self._progress = Progress(len(files), sys.stderr)
        self._done = self._instances = 0
        self._failed_before = self._failed = failed
        self._interrupted = False
        stages = BatchStages(
            segmenter,
            score_threshold=options.score_threshold,
            nms_threshold=options.nms_threshold,
            stopwatch=self._stopwatch,
        )
        self.stages = [
            *(stages.tiled_stages(options.tile, options.batch_size) if options.tile else stages.stages()),
            Stage("draw", self._draw_all),
            Stage("write", self._write_all),
        ]

    def execute(self) -> int:
        """Work through the files, write the results, return the exit code (see infer.py)."""
        try:
            self._work()
        except KeyboardInterrupt:
            self._interrupted = True
        except PipelineError as error:
            self._failed += 1
            print(f"maskrt infer: {error}", file=sys.stderr)
        self._progress.close()
        try:
            paths = self._results.write(self._options.output)
        except OSError as error:
            print(f"maskrt infer: the results cannot be written: {error.strerror or error}.", file=sys.stderr)
            return USAGE
        self._summarize(paths)
        if self._interrupted:
            return INTERRUPTED
        return 1 if self._failed else 0

    def batches(self) -> Iterator[list[_FileJob]]:
        """What the first stage takes."""
        jobs = (_FileJob(file, number=number) for number, file in enumerate(self._files))
        return in_batches(jobs, 1 if self._options.tile else self._options.batch_size)

    def _work(self) -> None:
        with closing(run_pipeline(self.batches(), self.stages)) as outcomes:
            for outcome in outcomes:
                for job in outcome.item:
                    if job.error is not None:
                        # An ImageError names the file itself.
                        named = "" if isinstance(job.error, ImageError) else f"{job.source}: "
                        self._fail(f"{named}{job.error}")
                    elif outcome.error is not None:
                        self._fail(f"{job.source}: {outcome.failure()}")
                    else:
                        self._progress.step(f"{job.source}: {job.instances}")

    def _fail(self, message: str) -> None:
        self._failed += 1
        self._progress.fail(f"failed: {message}")

    def _draw_all(self, jobs: list[_FileJob]) -> list[_FileJob]:
        if self._options.overlays:
            with self._stopwatch.stage("draw"):
                for_each(jobs, _draw)
        return jobs

    def _write_all(self, jobs: list[_FileJob]) -> list[_FileJob]:
        for_each(jobs, self._write)
        return jobs

    def _write(self, job: _FileJob) -> None:
        """Runs to its end also when the run is interrupted: what has an overlay is in the results."""
        assert job.instances is not None
        if job.overlay is not None:
            with self._stopwatch.stage("write"):
                path = self._options.output / "overlays" / f"{self._overlay_stems[job.number]}.jpg"
                try:
                    write_in_one_step(path, job.overlay)
                except OSError as error:
                    raise _cannot_write(error.strerror or str(error)) from None
        with self._stopwatch.stage("rle"):
            self._results.add(job.number + 1, str(job.source), job.instances)
        self._done += 1
        self._instances += len(job.instances)
        job.image = job.overlay = None

    def _summarize(self, paths: tuple[Path, Path]) -> None:
        if self._interrupted:
            missed = len(self._files) - self._done - (self._failed - self._failed_before)
            print(f"Interrupted: {count(missed, 'image')} not reached.")
        print(f"{count(self._done, 'image')}, {count(self._instances, 'instance')}, {self._failed} failed.")
        if self._options.overlays:
            print(f"Overlays: {self._options.output / 'overlays'}")
        print(f"COCO JSON: {paths[0]} (data set), {paths[1]} (results list)")
        if self._options.timings:
            print(self._stopwatch.table(self._done))


def _draw(job: _FileJob) -> None:
    assert job.image is not None
    assert job.instances is not None
    job.overlay = _encode_jpeg(draw_instances(job.image, job.instances))
    job.image = None


def _encode_jpeg(image: np.ndarray) -> bytes:
    """An RGB image [H, W, 3] uint8 as JPEG.

    Raises:
        MaskrtError: a side is longer than the 65500 pixels that JPEG allows.
    """
    try:
        encoded, content = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _JPEG_QUALITY)
    except cv2.error:  # OpenCV 5 returns False instead
        encoded = False
    if not encoded:
        raise _cannot_write(f"a JPEG cannot hold {image.shape[1]}x{image.shape[0]} pixels")
    return content.tobytes()


def _cannot_write(reason: str) -> MaskrtError:
    return MaskrtError(f"its overlay cannot be written: {reason}.")
