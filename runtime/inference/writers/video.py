"""The annotated video: instances and the measured frame rate, in the time of the original."""

from pathlib import Path

import numpy as np

from maskrt.runtime.draw import DrawOptions, draw_caption, draw_instances
from maskrt.runtime.inference.settings import Settings
from maskrt.runtime.inference.sources import PictureJob, Source, Video
from maskrt.runtime.streaming.stopwatch import FrameRate
from maskrt.runtime.video.reader import VideoReader
from maskrt.runtime.video.writer import VideoWriter


class AnnotatedVideo:
    """Writes a video of the frames with their instances; see `base.Writer`.

    Args:
        path: of the video.
        reader: of the original, which knows its times.
        threads: of the encoder. None: one per core.
        drawing: how the instances are drawn.
    """

    stage = "draw"

    def __init__(self, path: Path, reader: VideoReader, threads: int | None, drawing: DrawOptions) -> None:
        self._path = path
        self._drawing = drawing
        self._reader = reader
        self._threads = threads
        self._frame_rate = FrameRate()
        self._writer: VideoWriter | None = None  # made when the size of the frames is known

    def prepare(self, job: PictureJob) -> np.ndarray:
        """Draw the frame with its instances and the rate until now."""
        assert job.image is not None
        assert job.instances is not None
        drawn = draw_instances(job.image, job.instances, job.instances.track_ids, self._drawing)
        draw_caption(drawn, f"{self._frame_rate.tick():.1f} frames/s")
        return drawn

    def write(self, job: PictureJob, prepared: np.ndarray | None) -> None:
        """Append the frame; one that failed is shown as it is, so that the video goes on.

        Raises:
            VideoError: the file cannot be written.
        """
        shown = job.image if prepared is None else prepared
        if shown is None:
            return
        if self._writer is None:
            size = shown.shape[0], shown.shape[1]
            self._writer = VideoWriter(self._path, size, self._reader.rate, self._reader.time_base, self._threads)
        self._writer.write(shown, job.source.pts)

    def close(self) -> list[str]:
        """Finish the file, which appears under its name now, if there is a frame.

        Raises:
            VideoError: the file cannot be written.
        """
        return [f"Video: {self._path}"] if self._writer is not None and self._writer.close() else []


def open_writer(source: Source, settings: Settings, class_names: tuple[str, ...]) -> AnnotatedVideo | None:
    """Open it for videos, unless nothing is to be drawn."""
    if not isinstance(source, Video) or not settings.overlays:
        return None
    return AnnotatedVideo(settings.output / f"{source.stem}.mp4", source.reader, settings.threads, settings.drawing)
