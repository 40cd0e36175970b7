"""What the source model makes of one image, computed once for all files that are compared with it."""

from __future__ import annotations

from typing import Any

import numpy as np
from polygraphy.comparator import RunResults

from maskrt.evaluation.compare.detections import Records
from maskrt.evaluation.compare.tensors import ExposedFile
from maskrt.export.families.base import SourceModel
from maskrt.export.reference import Reference
from maskrt.runtime.transforms.canvas import Batch


class SourceImage:
    """The source model on one image [H, W, 3] uint8 RGB.

    Attributes:
        source: the model.
        reference: its inference.
        pixels: the image.
        name: for the result.
        records: what the model finds.
        levels: the image after resizing and padding, grey levels [1, H, W, 3] float32.
    """

    def __init__(self, source: SourceModel, reference: Reference, pixels: np.ndarray, name: str) -> None:
        self.source, self.reference, self.pixels, self.name = source, reference, pixels, name
        self.records: Records = reference.records(pixels)
        self.levels = reference.canvas_levels(pixels)
        self._tensors: dict[tuple[Any, ...], RunResults] = {}

    def tensors(self, file: ExposedFile, batch: Batch) -> RunResults:
        """Its tensors on the canvas of a file; computed once for all files with the same canvas and points."""
        key = (*(point.name for point in file.points), batch.canvas.dtype, batch.canvas.shape, batch.canvas.tobytes())
        if key not in self._tensors:
            self._tensors[key] = file.reference(self.reference, batch)
        return self._tensors[key]
