"""Label masks: an image in which each pixel is the number of its instance."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from maskrt.runtime.inference.settings import INSTANCE_MASKS, Settings
from maskrt.runtime.inference.sources import ImageFiles, Source
from maskrt.runtime.inference.writers.pictures import PictureWriter, paint
from maskrt.runtime.structures.instances import Instances


class InstanceMasks(PictureWriter):
    """Writes `instance-masks/NAME.png`: one channel of 16 bits; numbers from 1, as in the JSON of the image."""

    def pictures(self, image: np.ndarray, instances: Instances, shown: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the one of an image."""
        yield ".png", paint(instances, shown, np.arange(1, len(instances) + 1), np.uint16)


def open_writer(source: Source, settings: Settings, class_names: tuple[str, ...]) -> InstanceMasks | None:
    """Open it for image files, where it is asked for."""
    if not isinstance(source, ImageFiles) or INSTANCE_MASKS not in settings.formats:
        return None
    return InstanceMasks(settings.output, INSTANCE_MASKS, source.stems, settings.drawing.score_threshold)
