"""The source model as the reference of a comparison: its tensors at the points of a file."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from polygraphy.backend.base import BaseRunner
from polygraphy.common import TensorMetadata

from maskrt.contract.tensors import IMAGE_SIZES, IMAGES
from maskrt.errors import ArgumentError
from maskrt.evaluation.compare.points import POOLINGS, Point
from maskrt.evaluation.results import PYTORCH
from maskrt.export.reference import Reference, Trace


class TorchRunner(BaseRunner):
    """The source model's own inference on a canvas, as a Polygraphy runner.

    Takes the inputs `images` [1, H, W, 3] and `image_sizes` [1, 2] of the exported file. Gives, as float32 arrays,
    `proposals` [r, 4] and `boxes` [k, 4] (xyxy, canvas pixels, best score first; none where the model has no mask head)
    and the tensor of each point by its name; those with a row per RoI have r or k rows.
    """

    def __init__(self, reference: Reference, points: Sequence[Point], images_dtype: np.dtype) -> None:
        """`images_dtype` uint8 or float32."""
        super().__init__(name=PYTORCH)
        self._reference = reference
        self._points = points
        self._images_dtype = images_dtype

    def get_input_metadata_impl(self) -> Any:
        images = TensorMetadata().add(IMAGES, self._images_dtype, (1, None, None, 3))
        return images.add(IMAGE_SIZES, np.dtype(np.int32), (1, 2))

    def infer_impl(self, feed_dict: dict[str, np.ndarray]) -> OrderedDict[str, np.ndarray]:
        start = time.perf_counter()
        height, width = feed_dict[IMAGE_SIZES][0].tolist()
        trace = self._reference.trace(feed_dict[IMAGES], (height, width), {point.module for point in self._points})
        poolings = dict(zip(POOLINGS, trace.poolings, strict=False))
        pooled = {POOLINGS[rows]: pooling.features for rows, pooling in poolings.items()}
        outputs = OrderedDict(
            (point.name, pooled[point.module] if point.module in pooled else _output(trace, point))
            for point in self._points
        )
        nothing = np.zeros((0, 4), np.float32)
        for rows in POOLINGS:
            outputs[rows] = poolings[rows].rois if rows in poolings else nothing
        self.inference_time = time.perf_counter() - start
        return outputs


def _output(trace: Trace, point: Point) -> np.ndarray:
    outputs = trace.outputs.get(point.module, ())
    if point.call >= len(outputs):
        raise ArgumentError(
            f"The file was not exported from this PyTorch model: it has {point.name}, which the model does not run. "
            "Name the model that it was exported from, as for `maskrt export`."
        )
    return outputs[point.call]
