"""What pictures come from: image files, videos, streams and cameras."""

import os
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from maskrt.errors import ImageError
from maskrt.runtime.inference.journal import Journal
from maskrt.runtime.inference.progress import count
from maskrt.runtime.streaming.stages import Job
from maskrt.runtime.video.reader import VideoReader, newest

_LONGEST_NAME = 255  # bytes, on nearly all file systems

OVERLAY_SUFFIX = ".jpg"
"""Of the pictures that are drawn."""


def unique_stems(stems: Sequence[str], suffix: str = "", taken: Collection[str] = ()) -> list[str]:
    """Make the stems of the result files of inputs with these stems: the same, numbered where two would be equal.

    They are compared without case, since some file systems do so, and cut where the name of a result would be too long.

    Args:
        stems: of the inputs.
        suffix: the longest of those that come behind.
        taken: stems that results have already.
    """
    taken, most = {stem.lower() for stem in taken}, _LONGEST_NAME - len(suffix)
    last_numbers: dict[str, int] = {}
    result = []
    for stem in stems:
        unique, number = _cut(stem, "", most), last_numbers.get(stem.lower(), 1)
        while unique.lower() in taken:
            number += 1
            unique = _cut(stem, f"_{number}", most)
        last_numbers[stem.lower()] = number
        taken.add(unique.lower())
        result.append(unique)
    return result


def _cut(stem: str, end: str, most: int) -> str:
    """Put `end` behind a stem, which is cut where that would be more than `most` bytes."""
    name = os.fsencode(stem)
    if len(name) + len(end) <= most:
        return stem + end
    kept = name[: most - len(end)]
    return (kept.decode(errors="ignore") if _is_text(stem) else os.fsdecode(kept)) + end


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(eq=False)
class PictureJob(Job):
    """A picture on its way from a source to the writers.

    Attributes:
        number: in its source, from 0.
        prepared: what each writer made of it.
        files: that are written of this picture alone, by `Writer.prepare`: paths in the folder of the results, with
            slashes.
    """

    number: int = 0
    prepared: dict[Any, Any] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)


@dataclass
class Tally:
    """What came of a run so far.

    Attributes:
        taken: pictures that the writers were given.
        done: those of them that the model has seen, and that could be written.
        instances: in these.
        failed: pictures or inputs that came to nothing.
        last: number of the last picture that came out of the pipeline; -1: none.
        seconds: since the beginning.
        interrupted: by the user.
    """

    taken: int = 0
    done: int = 0
    instances: int = 0
    failed: int = 0
    last: int = -1
    seconds: float = 0.0
    interrupted: bool = False


class Source(Protocol):
    """Where pictures come from.

    Attributes:
        unit: what to call several of them.
        total: how many there are; None if nobody knows.
        pictures_per_line: where the progress goes to a file or pipe.
        is_sequence: whether they belong together, as frames of a video do: results hold also those that failed, and
            what cannot be written ends the run. Otherwise one that fails harms no other.
        decode: makes an image of what a job holds; None: `Segmenter.read`.
    """

    unit: str
    total: int | None
    pictures_per_line: int
    is_sequence: bool
    decode: Callable[[Any], np.ndarray] | None

    def jobs(self) -> Generator[PictureJob]:
        """Yield the pictures.

        Raises:
            MaskrtError: there are no more, but there should be.
        """

    def name(self, job: PictureJob) -> str:
        """Return what to call a picture in messages."""

    def describe_failure(self, job: PictureJob, error: Exception) -> str:
        """Say which picture failed, and why."""

    def losses(self) -> int:
        """Count the pictures that have never become jobs."""

    def summary(self, tally: Tally) -> list[str]:
        """Say what came of the run, a line each."""


class ImageFiles:
    """Image files; see `Source`.

    Args:
        files: of images.
        journal: of the results; what it has is not done again.
        failed: how many inputs have come to nothing before.

    Attributes:
        files: all of them.
        stems: of the result files of each.
        journal: of the results.
    """

    unit = "images"
    pictures_per_line = 1
    is_sequence = False
    decode: Callable[[Any], np.ndarray] | None = None

    def __init__(self, files: Sequence[Path], journal: Journal, failed: int = 0) -> None:
        self.files = files
        self.journal = journal
        self._failed = failed
        self._left = [number for number, file in enumerate(files) if not journal.has(file)]
        self.total: int | None = len(self._left)
        taken = journal.kept_stems
        stems = unique_stems([files[number].stem for number in self._left], OVERLAY_SUFFIX, taken)
        self.stems = dict(zip(self._left, stems, strict=True))

    def jobs(self) -> Generator[PictureJob]:
        """Yield each file that is left as a job."""
        for number in self._left:
            yield PictureJob(self.files[number], number=number)

    def name(self, job: PictureJob) -> str:
        """Return the path."""
        return str(job.source)

    def describe_failure(self, job: PictureJob, error: Exception) -> str:
        """Say the path, which an ImageError names itself, and the error."""
        return str(error) if isinstance(error, ImageError) else f"{job.source}: {error}"

    def losses(self) -> int:
        """Count the inputs without an image."""
        return self._failed

    def summary(self, tally: Tally) -> list[str]:
        """Say the numbers of images and instances."""
        lines = []
        if len(self._left) < len(self.files):
            lines.append(f"{count(len(self.files) - len(self._left), 'image')} done before.")
        missed = len(self._left) - tally.done - tally.failed
        if missed or tally.interrupted:
            how = "Interrupted" if tally.interrupted else "Stopped"
            lines.append(f"{how}: {count(missed, 'image')} not reached. The same command with --resume does the rest.")
        failed = self._failed + tally.failed
        lines.append(f"{count(tally.done, 'image')}, {count(tally.instances, 'instance')}, {failed} failed.")
        return lines


class Video:
    """A video, stream or camera; see `Source`.

    Args:
        reader: of the frames.
        stem: of the result files.
    """

    unit = "frames"
    pictures_per_line = 100
    is_sequence = True

    def __init__(self, reader: VideoReader, stem: str) -> None:
        self.reader = reader
        self.stem = stem
        self.total = reader.number
        self.decode: Callable[[Any], np.ndarray] | None = reader.to_rgb

    def jobs(self) -> Generator[PictureJob]:
        """Yield each frame as a job; of a source that does not wait, the newest.

        Raises:
            VideoError: a file that is cut off, a stream or camera that has stopped.
        """
        pictures = self.reader.pictures()
        with closing(newest(pictures) if self.reader.is_live else pictures) as frames:
            for picture in frames:
                yield PictureJob(picture, number=picture.number)

    def name(self, job: PictureJob) -> str:
        """Return the name of the video and the number of the frame."""
        return f"{self.reader.name}, frame {job.number}"

    def describe_failure(self, job: PictureJob, error: Exception) -> str:
        """Say the frame and the error."""
        return f"{self.name(job)}: {error}"

    def losses(self) -> int:
        """Count the damaged frames."""
        return self.reader.skipped

    def summary(self, tally: Tally) -> list[str]:
        """Say the numbers of frames and instances, and the speed."""
        parts = [count(tally.taken, "frame"), count(tally.instances, "instance")]
        if self.reader.skipped:
            parts.append(f"{count(self.reader.skipped, 'damaged frame')} skipped")
        passed_over = tally.last + 1 - tally.taken
        if self.reader.is_live and passed_over > 0:
            parts.append(f"{passed_over} passed over to keep up")
        if tally.failed:
            parts.append(f"{tally.failed} failed")
        state = "interrupted after " if tally.interrupted else ""
        rate = tally.taken / max(tally.seconds, 1e-9)
        return [f"{self.reader.name}: {state}{', '.join(parts)}; {rate:.1f} frames/s."]
