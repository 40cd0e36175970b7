"""A run of `maskrt infer` over a video, stream or camera: an annotated video, and the instances as JSON lines.

Each line of the JSON file is a frame: `frame` (its number, from 0; damaged frames have none), `time` (seconds after the
first frame), `width`, `height`, and `instances`: records in the COCO results format, with the frame's number as
`image_id` and the name of the class as `category`. A frame that failed has `error` in their place.
"""

import json
import sys
import time
from argparse import Namespace
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from maskrt.command import INTERRUPTED
from maskrt.errors import MaskrtError, VideoError
from maskrt.runtime.draw import draw_caption, draw_instances
from maskrt.runtime.inference.progress import Progress, count
from maskrt.runtime.segmenter import Segmenter
from maskrt.runtime.streaming.pipeline import PipelineError, Stage, run_pipeline
from maskrt.runtime.streaming.stages import BatchStages, Job, for_each, in_batches
from maskrt.runtime.streaming.stopwatch import FrameRate, Stopwatch
from maskrt.runtime.video.reader import Picture, VideoReader, newest
from maskrt.runtime.video.writer import VideoWriter

# Where the progress goes to a file or pipe, it gets a line for each so many frames.
_FRAMES_PER_LINE = 100


@dataclass(eq=False)
class _FrameJob(Job):
    """A frame (`source` is its `Picture`), what it looks like with its instances, and its line of JSON."""

    drawn: np.ndarray | None = None
    line: str = ""


class VideoRun:
    """One pass over a video, stream or camera.

    Args:
        segmenter: finds the instances.
        reader: of the frames.
        stem: the path of the results, without suffix.
        options: of the command line.
    """

    def __init__(self, segmenter: Segmenter, reader: VideoReader, stem: Path, options: Namespace) -> None:
        self._class_names = segmenter.class_names
        self._reader = reader
        self._video_path = stem.with_name(stem.name + ".mp4")
        self._lines_path = stem.with_name(stem.name + ".jsonl")
        self._options = options
        self._stopwatch = Stopwatch()
        self._frame_rate = FrameRate()
        self._progress = Progress(reader.number, sys.stderr, unit="frames")
        self._writer: VideoWriter | None = None
        self._video_is_written = False
        self._written = self._instances = self._failed = self._seen = self._reported = 0
        stages = BatchStages(
            segmenter,
            score_threshold=options.score_threshold,
            nms_threshold=options.nms_threshold,
            stopwatch=self._stopwatch,
            decode=reader.to_rgb,
        )
        self._stages = [
            *(stages.tiled_stages(options.tile, options.batch_size) if options.tile else stages.stages()),
            Stage("draw", self._draw),
            Stage("rle", self._describe),
        ]

    def execute(self) -> int:
        """Work through the frames, write the results, return the exit code (see infer.py)."""
        problem, interrupted = "", False
        start = time.perf_counter()
        try:
            with self._lines_path.open("w", encoding="utf-8", errors="backslashreplace") as lines:
                try:
                    self._work(lines)
                finally:
                    if self._writer is not None:
                        self._video_is_written = self._writer.close()
        except KeyboardInterrupt:
            interrupted = True
        except OSError as error:
            problem = f"{self._lines_path} cannot be written: {error.strerror or error}."
        except (MaskrtError, PipelineError) as error:
            problem = str(error)
        self._progress.close()
        if problem:
            print(f"maskrt infer: {problem}", file=sys.stderr)
        self._summarize(time.perf_counter() - start, interrupted)
        if interrupted:
            return INTERRUPTED
        return 1 if problem or self._failed or self._reader.skipped else 0

    def _work(self, lines: TextIO) -> None:
        pictures = self._reader.pictures()
        source = newest(pictures) if self._reader.is_live else pictures
        stages = [*self._stages, Stage("write", lambda jobs: self._write_all(jobs, lines))]
        batch_size = 1 if self._options.tile else self._options.batch_size
        with closing(source), closing(run_pipeline(in_batches(map(_FrameJob, source), batch_size), stages)) as outcomes:
            for outcome in outcomes:
                if outcome.error is not None:
                    raise outcome.error if isinstance(outcome.error, (VideoError, OSError)) else outcome.failure()
                for job in outcome.item:
                    self._report(job)

    def _report(self, job: _FrameJob) -> None:
        number = job.source.number
        self._seen = number + 1
        self._reported += 1
        if job.error is not None:
            self._failed += 1
            self._progress.fail(f"failed: {self._reader.name}, frame {number}: {job.error}")
        else:
            has_line = self._reported % _FRAMES_PER_LINE == 1
            self._progress.step(f"{self._reader.name}, frame {number}: {job.instances}" if has_line else None)

    def _draw(self, jobs: list[_FrameJob]) -> list[_FrameJob]:
        if self._options.overlays:
            with self._stopwatch.stage("draw"):
                for_each(jobs, self._draw_one)
        return jobs

    def _draw_one(self, job: _FrameJob) -> None:
        assert job.image is not None
        assert job.instances is not None
        job.drawn = draw_instances(job.image, job.instances)
        draw_caption(job.drawn, f"{self._frame_rate.tick():.1f} frames/s")

    def _describe(self, jobs: list[_FrameJob]) -> list[_FrameJob]:
        with self._stopwatch.stage("rle"):
            for job in jobs:
                job.line = json.dumps(self._record(job), ensure_ascii=False) + "\n"
        return jobs

    def _write_all(self, jobs: list[_FrameJob], lines: TextIO) -> list[_FrameJob]:
        """Runs to its end also when the run is interrupted: each frame of the video has its line, and the reverse."""
        for job in jobs:
            # A frame that failed is shown as it is, so that the video goes on.
            shown = job.drawn if job.drawn is not None else job.image
            if self._options.overlays and shown is not None:
                with self._stopwatch.stage("write"):
                    self._writer_for(shown).write(shown, job.source.pts)
            lines.write(job.line)
            lines.flush()
            self._written += 1
            self._instances += len(job.instances) if job.error is None and job.instances is not None else 0
            job.image = job.drawn = None
        return jobs

    def _writer_for(self, image: np.ndarray) -> VideoWriter:
        if self._writer is None:
            reader = self._reader
            size = image.shape[0], image.shape[1]
            self._writer = VideoWriter(self._video_path, size, reader.rate, reader.time_base, self._options.threads)
        return self._writer

    def _record(self, job: _FrameJob) -> dict[str, Any]:
        picture: Picture = job.source
        record: dict[str, Any] = {"frame": picture.number, "time": round(picture.seconds, 6)}
        if job.error is not None or job.instances is None:
            return {**record, "error": str(job.error)}
        height, width = job.instances.image_size
        instances = [
            {**instance, "category": self._class_names[instance["category_id"]]}
            for instance in job.instances.to_coco(picture.number)
        ]
        return {**record, "width": width, "height": height, "instances": instances}

    def _summarize(self, seconds: float, interrupted: bool) -> None:
        parts = [count(self._written, "frame"), count(self._instances, "instance")]
        if self._reader.skipped:
            parts.append(f"{count(self._reader.skipped, 'damaged frame')} skipped")
        if self._reader.is_live and self._seen > self._written:
            parts.append(f"{self._seen - self._written} passed over to keep up")
        if self._failed:
            parts.append(f"{self._failed} failed")
        state = "interrupted after " if interrupted else ""
        print(f"{self._reader.name}: {state}{', '.join(parts)}; {self._written / seconds:.1f} frames/s.")
        if self._video_is_written:
            print(f"Video: {self._video_path}")
        print(f"Instances: {self._lines_path} (a line per frame)")
        if self._options.timings:
            print(self._stopwatch.table(self._written))
