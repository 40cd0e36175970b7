"""What writers of pictures share: PNG files of each image in a folder of the format's name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np

from maskrt.files import write_in_one_step
from maskrt.runtime.inference.sources import PictureJob
from maskrt.runtime.inference.writers.base import no_more_room
from maskrt.runtime.structures.instances import Instances


class PictureWriter:
    """Writes PNG files for each image file; see `base.Writer`. `pictures` says which.

    Args:
        folder: of the results.
        name: of the format, and of its folder.
        stems: of the files of each image, by its number.
        score_threshold: of the instances that are written: those that overlays show.
    """

    stage = "draw"

    def __init__(self, folder: Path, name: str, stems: Mapping[int, str], score_threshold: float) -> None:
        self._folder = folder
        self._name = name
        self._stems = stems
        self._score_threshold = score_threshold

    def pictures(self, image: np.ndarray, instances: Instances, shown: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the end of each file's name, behind the image's stem, and its content.

        Args:
            image: [H, W, 3] uint8 RGB.
            instances: of the image, all of them.
            shown: the numbers of those to be written, best score first.

        Yields:
            Content [h, w] uint8 or uint16, or [h, w, 3 or 4] uint8 RGB or RGBA.
        """
        raise NotImplementedError

    def prepare(self, job: PictureJob) -> dict[str, bytes]:
        """Make the files of an image, by their paths in the folder of the results."""
        assert job.image is not None
        assert job.instances is not None
        shown = np.flatnonzero(job.instances.scores >= self._score_threshold)
        stem = f"{self._name}/{self._stems[job.number]}"
        files = {f"{stem}{end}": encode_png(made) for end, made in self.pictures(job.image, job.instances, shown)}
        job.files += files
        return files

    def write(self, job: PictureJob, prepared: dict[str, bytes]) -> None:
        """Write the files.

        Raises:
            MaskrtError: one cannot be written.
        """
        for name, content in prepared.items():
            path = self._folder / name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_in_one_step(path, content)
            except OSError as error:
                raise no_more_room(path, error) from None

    def close(self) -> list[str]:
        """Say where they are."""
        return [f"{self._name.capitalize().replace('-', ' ')}: {self._folder / self._name}"]


def encode_png(picture: np.ndarray) -> bytes:
    """Encode [H, W] uint8 or uint16, or [H, W, 3 or 4] uint8 RGB or RGBA, as PNG."""
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGBA2BGRA if picture.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    encoded, content = cv2.imencode(".png", picture)
    assert encoded
    return content.tobytes()


def paint(instances: Instances, shown: np.ndarray, values: np.ndarray, dtype: type) -> np.ndarray:
    """Paint masks with a value each, `[H, W]`; 0 where there is none, and where they overlap that of the best score.

    Args:
        instances: with masks.
        shown: [M] numbers of those to be painted, best score first.
        values: [N] of all instances.
        dtype: of the picture.
    """
    canvas: np.ndarray = np.zeros(instances.image_size, dtype)
    backwards = shown[::-1]
    for number, (left, top, mask) in zip(backwards, instances[backwards].crops(), strict=True):
        canvas[top : top + mask.shape[0], left : left + mask.shape[1]][mask] = values[number]
    return canvas
