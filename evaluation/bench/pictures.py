"""The image files that the benchmark reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from maskrt.errors import ArgumentError
from maskrt.runtime import read_image
from maskrt.runtime.images.read import check_file
from maskrt.runtime.inference.find import find_images

_JPEG_QUALITY = (cv2.IMWRITE_JPEG_QUALITY, 95)


def gather_pictures(arguments: Sequence[str], count: int) -> list[Path]:
    """Return the first `count` image files of the arguments: files, folders and globs.

    Raises:
        ArgumentError: no image there.
        ImageError: one of them is not there, or no file.
    """
    files, problems = find_images(arguments)
    if problems or not files:
        raise ArgumentError(" ".join(problems) or "There is nothing to do: no image was found.")
    for file in files[:count]:
        check_file(file)
    return files[:count]


def resize_pictures(files: Sequence[Path], size: tuple[int, int], folder: Path) -> list[Path]:
    """Write the same pictures as JPEG files, stretched to (height, width) `size`, into `folder`, which exists.

    Raises:
        ImageError: a picture cannot be read.
    """
    height, width = size
    return [
        _write(
            folder / f"{height}x{width}-{number:03d}.jpg",
            cv2.resize(read_image(file), (width, height), interpolation=cv2.INTER_CUBIC),
        )
        for number, file in enumerate(files)
    ]


def make_batches(files: Sequence[Path], batch: int) -> list[list[Path]]:
    """Make as many batches as there are files; each begins one file later than the one before, around and around."""
    return [[files[(start + i) % len(files)] for i in range(batch)] for start in range(len(files))]


def _write(path: Path, image: np.ndarray) -> Path:
    if not cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _JPEG_QUALITY):
        raise ArgumentError(f"{path} cannot be written: free space, or set TMPDIR to a folder with room.")
    return path
