"""Each instance cut out of its image, with what does not belong to it transparent."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from maskrt.runtime.inference.settings import CROPS, Settings
from maskrt.runtime.inference.sources import ImageFiles, Source
from maskrt.runtime.inference.writers.pictures import PictureWriter
from maskrt.runtime.structures.instances import Instances

_LONGEST_CLASS = 40  # bytes in a file's name


class Crops(PictureWriter):
    """Writes `crops/NAME/NUMBER_CLASS.png`: RGBA, the pixels of the box; without masks RGB. Numbers as in the JSON."""

    def pictures(self, image: np.ndarray, instances: Instances, shown: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Yield one for each instance that has pixels."""
        chosen = instances[shown]
        for number, name, (left, top, mask) in zip(shown, chosen.names, _regions(chosen), strict=True):
            if mask.any():
                cut = image[top : top + mask.shape[0], left : left + mask.shape[1]]
                if chosen.has_masks:
                    cut = np.dstack((cut, mask.astype(np.uint8) * 255))
                yield f"/{number + 1:03}_{_file_name(name)}.png", np.ascontiguousarray(cut)


def open_writer(source: Source, settings: Settings, class_names: tuple[str, ...]) -> Crops | None:
    """Open it for image files, where it is asked for."""
    if not isinstance(source, ImageFiles) or CROPS not in settings.formats:
        return None
    return Crops(settings.output, CROPS, source.stems, settings.drawing.score_threshold)


def _regions(instances: Instances) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield the masks, cut out; without masks the whole boxes, to the pixels that they touch."""
    if instances.has_masks:
        yield from instances.crops()
        return
    height, width = instances.image_size
    for x1, y1, x2, y2 in instances.boxes.tolist():
        left, top = max(int(np.floor(x1)), 0), max(int(np.floor(y1)), 0)
        right, bottom = min(int(np.ceil(x2)), width), min(int(np.ceil(y2)), height)
        yield left, top, np.ones((max(bottom - top, 0), max(right - left, 0)), bool)


def _file_name(name: str) -> str:
    """Make a class name fit for a file's: letters, digits, - and _ stay."""
    plain = re.sub(r"[^\w-]+", "_", name)
    return plain.encode(errors="ignore")[:_LONGEST_CLASS].decode(errors="ignore") or "class"
