"""What the source model makes of one image, computed once for all files that are compared with it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from maskrt.evaluation.compare.detections import Records
from maskrt.export.reference import Reference, Trace
from maskrt.runtime.transforms.canvas import Batch


class SourceImage:
    """The source model on one image [H, W, 3] uint8 RGB.

    Attributes:
        reference: the source model's own inference.
        pixels: the image.
        name: for the result.
        records: what the model finds.
        levels: the image after resizing and padding, grey levels [1, H, W, 3] float32.
    """

    def __init__(self, reference: Reference, pixels: np.ndarray, name: str) -> None:
        self.reference, self.pixels, self.name = reference, pixels, name
        self.records: Records = reference.records(pixels)
        self.levels = reference.canvas_levels(pixels)
        self._traces: dict[tuple[Any, ...], Trace] = {}

    def trace(self, batch: Batch, modules: Collection[str]) -> Trace:
        """Trace its tensors on the canvas of a file; computed once for all files with the same canvas and modules."""
        key = frozenset(modules), batch.canvas.dtype, batch.canvas.shape, batch.canvas.tobytes()
        if key not in self._traces:
            self._traces[key] = trace_canvas(self.reference, batch, modules)
        return self._traces[key]


def trace_canvas(reference: Reference, batch: Batch, modules: Collection[str]) -> Trace:
    """Trace the source model on a canvas with one image: RoIAligns, and outputs of modules, by path."""
    height, width = batch.image_sizes[0].tolist()
    return reference.trace(batch.canvas, (height, width), modules)
