"""The images that a calibration looks at: a fixed random sample of image files and of the frames of videos."""

from __future__ import annotations

import glob
import hashlib
import os
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
from maskrt.runtime.images.read import check_file
from maskrt.runtime.inference.find import find_inputs


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

        A file that cannot be read counts as an empty one: `read` leaves it out.
        """
        digest = hashlib.sha256()
        for file in self.files:
            try:
                check_file(file)
                content = file.read_bytes()
            except (OSError, ImageError):
                content = b""
            digest.update(hashlib.sha256(content).digest())
        for video, frames in self.frames.items():
            status = video.stat()
            digest.update(os.fsencode(video.name) + f" {status.st_size} {status.st_mtime_ns} {frames}".encode())
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


def choose_images(
    sources: Sequence[Path], limit: int, seed: int, left_out: Callable[[str], object] | None = None
) -> ImageSample:
    """Choose `limit` images, or all where there are fewer; the same for the same seed.

    Args:
        sources: image files, videos, folders of both, and globs.
        limit: how many.
        seed: of the random choice.
        left_out: gets a sentence for what a source holds beside images that can be read; None: nobody is told.

    Raises:
        ArgumentError: a source holds nothing that can be read, or all of them fewer images than `LEAST_COUNT`.
    """
    images: list[Path] = []
    videos: dict[Path, int] = {}
    for source in sources:
        of_source, remarks = _find(source)
        images += [file for file, frames in of_source.items() if frames is None]
        videos |= {file: frames for file, frames in of_source.items() if frames is not None}
        if left_out is not None:
            for remark in remarks:
                left_out(remark)
    images = list(dict.fromkeys(images))
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


def _find(source: Path) -> tuple[dict[Path, int | None], list[str]]:
    """Find the files of a source; of a video with the number of its frames. And a sentence for what is left out."""
    if not source.exists() and not glob.has_magic(str(source)):
        raise ArgumentError(f"{source}: there is no such file or folder. Give images, folders of them, or videos.")
    found = find_inputs([str(source)])
    files: dict[Path, int | None] = dict.fromkeys(found.images)
    problems = list(found.problems)
    for video in map(Path, found.videos):
        try:
            files[video] = _count_frames(video)
        except ArgumentError as error:
            problems.append(str(error))
    if not files:
        raise ArgumentError(problems[0])
    return files, [*problems, *found.skipped]


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
