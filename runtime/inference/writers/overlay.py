"""Images with their instances drawn over them, as JPEG files."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from maskrt.errors import MaskrtError
from maskrt.files import write_in_one_step
from maskrt.runtime.draw import DrawOptions, draw_instances
from maskrt.runtime.inference.journal import OVERLAYS
from maskrt.runtime.inference.settings import Settings
from maskrt.runtime.inference.sources import OVERLAY_SUFFIX, ImageFiles, PictureJob, Source
from maskrt.runtime.inference.writers.base import NoMoreRoom, no_more_room

# Full colour resolution: at the usual half of it, coloured outlines and text smear.
_JPEG_QUALITY = (
    cv2.IMWRITE_JPEG_QUALITY,
    93,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)


class OverlayWriter:
    """Writes an overlay for each image file; see `base.Writer`.

    Args:
        folder: of the overlays; made.
        stems: of the file of each image, by its number.
        drawing: how the instances are drawn.
    """

    stage = "draw"

    def __init__(self, folder: Path, stems: Mapping[int, str], drawing: DrawOptions) -> None:
        self._folder = folder
        self._drawing = drawing
        self._stems = stems

    def prepare(self, job: PictureJob) -> bytes:
        """Draw the image, and encode it.

        Raises:
            MaskrtError: no JPEG can hold it.
        """
        assert job.image is not None
        assert job.instances is not None
        job.files.append(f"{OVERLAYS}/{self._stems[job.number]}{OVERLAY_SUFFIX}")
        return encode_jpeg(draw_instances(job.image, job.instances, options=self._drawing))

    def write(self, job: PictureJob, prepared: bytes) -> None:
        """Write the file.

        Raises:
            MaskrtError: it cannot be written.
        """
        path = self._folder / f"{self._stems[job.number]}{OVERLAY_SUFFIX}"
        try:
            write_in_one_step(path, prepared)
        except OSError as error:
            full = no_more_room(path, error)
            raise full if isinstance(full, NoMoreRoom) else _cannot_write(error.strerror or str(error)) from None

    def close(self) -> list[str]:
        """Say where they are."""
        return [f"Overlays: {self._folder}"]


def open_writer(source: Source, settings: Settings, class_names: tuple[str, ...]) -> OverlayWriter | None:
    """Open it for image files, unless nothing is to be drawn."""
    if not isinstance(source, ImageFiles) or not settings.overlays:
        return None
    return OverlayWriter(settings.output / OVERLAYS, source.stems, settings.drawing)


def encode_jpeg(image: np.ndarray) -> bytes:
    """Encode an RGB image [H, W, 3] uint8 as JPEG.

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
