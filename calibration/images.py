"""The images that a calibration looks at: a fixed random sample of a folder, a COCO data set, or a video."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from maskrt.errors import ArgumentError, ImageError
from maskrt.evaluation.metrics.dataset import read_coco
from maskrt.runtime import read_image
from maskrt.runtime.inference.sources import find_images
from maskrt.runtime.video.reader import is_video

SENSIBLE_COUNT = 64
"""What the demo model's figures were measured with."""

LEAST_COUNT = 8
"""With fewer, the ranges are those of the particular images."""


@dataclass(frozen=True)
class ImageSample:
    """The chosen images: files, or frames of one video.

    Attributes:
        source: what the user gave.
        files: the chosen image files; for a video, the video alone.
        frames: for a video, the numbers of the chosen frames, ascending.
    """

    source: Path
    files: tuple[Path, ...]
    frames: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.files if self.frames is None else self.frames)

    def fingerprint(self) -> str:
        """SHA-256 of the images' content; of a video, of its name, size, time and the chosen frames.

        Raises:
            ImageError: a file cannot be read.
        """
        digest = hashlib.sha256()
        try:
            for file in self.files:
                if self.frames is None:
                    digest.update(hashlib.sha256(file.read_bytes()).digest())
                else:
                    status = file.stat()
                    digest.update(f"{file.name} {status.st_size} {status.st_mtime_ns} {self.frames}".encode())
        except OSError as error:
            raise ImageError(f"{error.filename} cannot be read: {error.strerror or error}.") from None
        return digest.hexdigest()

    def read(self, left_out: Callable[[str], object]) -> Iterator[np.ndarray]:
        """Yields `[H,W,3]` uint8 RGB; for each image that cannot be read, `left_out` gets a sentence instead."""
        if self.frames is not None:
            yield from _read_frames(self.files[0], self.frames, left_out)
            return
        for file in self.files:
            try:
                yield read_image(file)
            except ImageError as error:
                left_out(str(error))


def choose_images(source: Path, count: int, seed: int) -> ImageSample:
    """Chooses `count` images, or all where there are fewer; the same for the same seed.

    Args:
        source: a folder of images, a COCO JSON file, or a video.
        count: how many.
        seed: of the random choice.

    Raises:
        ArgumentError: there are no images, or fewer than `LEAST_COUNT`.
    """
    if not source.exists():
        raise ArgumentError(f"{source}: there is no such folder, COCO JSON file or video.")
    if source.is_file() and is_video(source):
        total = _count_frames(source)
        _check_count(source, min(total, count), "frames")
        return ImageSample(source, (source,), tuple(sorted(_sample(total, count, seed))))
    if source.suffix.lower() == ".json":
        files = sorted(read_coco(source).files.values())
    else:
        found, problems = find_images([str(source)])
        if problems:
            raise ArgumentError(problems[0])
        files = found
    _check_count(source, min(len(files), count), "images")
    return ImageSample(source, tuple(files[index] for index in _sample(len(files), count, seed)))


def _sample(total: int, count: int, seed: int) -> list[int]:
    return random.Random(seed).sample(range(total), min(total, count))


def _check_count(source: Path, count: int, noun: str) -> None:
    if count < LEAST_COUNT:
        raise ArgumentError(
            f"Calibrating with {count} {noun} of {source} is too few: the ranges would be those of these {noun} alone. "
            f"{SENSIBLE_COUNT} typical ones are sensible, {LEAST_COUNT} the least."
        )


def _open_video(path: Path) -> cv2.VideoCapture:
    video = cv2.VideoCapture(str(path))
    if not video.isOpened():
        raise ArgumentError(f"{path} is not a video that OpenCV can open.")
    return video


def _count_frames(path: Path) -> int:
    # Counted, since the number in the file's header is often missing or wrong.
    video = _open_video(path)
    total = 0
    while video.grab():
        total += 1
    video.release()
    return total


def _read_frames(path: Path, frames: tuple[int, ...], left_out: Callable[[str], object]) -> Iterator[np.ndarray]:
    video = _open_video(path)
    wanted = set(frames)
    try:
        for number in range(frames[-1] + 1):
            grabbed = video.grab()
            if number in wanted:
                image = video.retrieve()[1] if grabbed else None
                if image is None:
                    left_out(f"{path} is damaged: its frame {number} cannot be decoded.")
                else:
                    yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    finally:
        video.release()
