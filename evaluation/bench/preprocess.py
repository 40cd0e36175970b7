"""Preprocessing on the CPU: maskrt's runtime against torchvision's transform.

From a uint8 RGB image to the tensor that the model takes: torchvision scales to 0-1, normalises, resizes and
pads in float32; maskrt resizes and pads (the model file normalises).
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.transforms.functional import to_tensor

from maskrt.contract.pipeline import Boxes, Paste, Pipeline, Resize
from maskrt.evaluation.bench.operation import compare_operation
from maskrt.evaluation.results.bench import OperationRecord
from maskrt.runtime.transforms.canvas import make_batch

_IMAGE_SIZES = ((480, 640), (1080, 1920), (2160, 3840))
_PIPELINE = Pipeline(
    Resize("floor", "bilinear", 800, 1333), 32, Boxes(clip=False, drop_empty=False), Paste("integer_box", 0.5)
)


def measure_preprocess(repeats: int) -> list[OperationRecord]:
    """Time it: three image sizes to 800x1333, as uint8 and as float32."""
    transform = GeneralizedRCNNTransform(800, 1333, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]).eval()
    records = []
    for size in _IMAGE_SIZES:
        image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        reference = "torchvision", partial(_torchvision_preprocess, transform, image)
        for dtype in (np.uint8, np.float32):
            ours = partial(make_batch, [image], _PIPELINE, np.dtype(dtype))
            name = f"preprocess to 800x1333, {dtype.__name__}"
            records.append(compare_operation(name, size, reference, ours, repeats))
    return records


def _torchvision_preprocess(transform: GeneralizedRCNNTransform, image: np.ndarray) -> torch.Tensor:
    """What the first lines of a torchvision pipeline do."""
    images, _ = transform([to_tensor(image)])
    return images.tensors
