"""Label masks: an image in which each pixel is the label of its class, as semantic segmentation has it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from maskrt.runtime.inference.settings import CLASS_MASKS, Settings
from maskrt.runtime.inference.sources import ImageFiles, Source
from maskrt.runtime.inference.writers.pictures import PictureWriter, paint
from maskrt.runtime.structures.instances import Instances


class ClassMasks(PictureWriter):
    """Writes `class-masks/NAME.png`: one channel of 8 bits, or of 16 where there are more than 255 classes."""

    def pictures(self, image: np.ndarray, instances: Instances, shown: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the one of an image."""
        dtype = np.uint8 if len(instances.class_names) <= 256 else np.uint16
        yield ".png", paint(instances, shown, instances.labels, dtype)


def open_writer(source: Source, settings: Settings, class_names: tuple[str, ...]) -> ClassMasks | None:
    """Open it for image files, where it is asked for."""
    if not isinstance(source, ImageFiles) or CLASS_MASKS not in settings.formats:
        return None
    return ClassMasks(settings.output, CLASS_MASKS, source.stems, settings.drawing.score_threshold)
