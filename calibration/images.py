"""The images that a calibration looks at: a fixed random sample of image files and of the frames of videos."""

from __future__ import annotations

import glob
import hashlib
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from maskrt.calibration.options import LEAST_COUNT, SENSIBLE_COUNT
from maskrt.errors import ArgumentError, ImageError
from maskrt.runtime import read_image
from maskrt.runtime.inference.find import find_images
from maskrt.runtime.video.reader import is_video


@dataclass(frozen=True)
class ImageSample:
    """The chosen images.

    Attributes:
        source: what the user gave, for messages.
        files: the chosen image files.
        frames: video file → the numbers of its chosen frames, ascending.
    """

    source: str
    files: tuple[Path, ...]
    frames: Mapping[Path, tuple[int, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.files) + sum(map(len, self.frames.values()))

    def fingerprint(self) -> str:
        """SHA-256 of the images' content; of a video, of its name, size, time and the chosen frames.

        Raises:
            ImageError: a file cannot be read.
        """
        digest = hashlib.sha256()
        try:
            for file in self.files:
                digest.update(hashlib.sha256(file.read_bytes()).digest())
            for video, frames in self.frames.items():
                status = video.stat()
                digest.update(f"{video.name} {status.st_size} {status.st_mtime_ns} {frames}".encode())
        except OSError as error:
            raise ImageError(f"{error.filename} cannot be read: {error.strerror or error}.") from None
        return digest.hexdigest()

    def read(self, left_out: Callable[[str], object]) -> Iterator[np.ndarray]:
        """Yield `[H,W,3]` uint8 RGB; for each image that cannot be read, `left_out` gets a sentence instead."""
        for file in self.files:
            try:
                yield read_image(file)
            except ImageError as error:
                left_out(str(error))
        for video, frames in self.frames.items():
            yield from _read_frames(video, frames, left_out)


def choose_images(sources: Sequence[Path], limit: int, seed: int) -> ImageSample:
    """Choose `limit` images, or all where there are fewer; the same for the same seed.

    Args:
        sources: image files, folders of them, globs, and videos.
        limit: how many.
        seed: of the random choice.

    Raises:
        ArgumentError: there are no images, or fewer than `LEAST_COUNT`.
    """
    for source in sources:
        if not source.exists() and not glob.has_magic(str(source)):
            raise ArgumentError(f"{source}: there is no such file or folder. Give images, folders of them, or videos.")
    found, problems = find_images(list(map(str, sources)))
    if problems:
        raise ArgumentError(problems[0])
    videos = {file: _count_frames(file) for file in found if is_video(file)}
    images = [file for file in found if file not in videos]
    frames = [(video, number) for video, count in videos.items() for number in range(count)]
    total = len(images) + len(frames)
    name = str(sources[0]) if len(sources) == 1 else f"{sources[0]} and {len(sources) - 1} more"
    _check_count(name, min(total, limit), "images" if images or not videos else "frames")
    chosen = random.Random(seed).sample(range(total), min(total, limit))
    of_videos: dict[Path, list[int]] = defaultdict(list)
    for video, number in sorted(frames[index - len(images)] for index in chosen if index >= len(images)):
        of_videos[video].append(number)
    return ImageSample(
        name,
        tuple(images[index] for index in chosen if index < len(images)),
        {video: tuple(numbers) for video, numbers in of_videos.items()},
    )


def _check_count(source: str, count: int, noun: str) -> None:
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
