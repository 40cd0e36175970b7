"""Preprocessing on the CPU: maskrt's runtime against the frameworks' own.

From a uint8 RGB image to the tensor that the model takes: frameworks normalise, resize and pad; maskrt resizes and pads
(the model file normalises).
"""

from __future__ import annotations

from functools import partial

import numpy as np

from maskrt.evaluation.bench.operation import compare_operation
from maskrt.evaluation.results.bench import OperationRecord
from maskrt.export.families.base import Operations
from maskrt.runtime.transforms.canvas import make_batch

_IMAGE_SIZES = ((480, 640), (1080, 1920), (2160, 3840))


def measure_preprocess(framework: Operations, repeats: int) -> list[OperationRecord]:
    """Time it with the framework's settings: three image sizes, as uint8 and as float32."""
    resize = framework.pipeline.resize
    records = []
    for size in _IMAGE_SIZES:
        image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        reference = framework.name, partial(framework.preprocess, image)
        for dtype in (np.uint8, np.float32):
            ours = partial(make_batch, [image], framework.pipeline, np.dtype(dtype))
            name = f"preprocess to {resize.min_size}x{resize.max_size}, {dtype.__name__}"
            records.append(compare_operation(name, size, reference, ours, repeats))
    return records
