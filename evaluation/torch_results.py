"""What the PyTorch model itself finds in an image, as COCO result records."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from maskrt.export.families.base import family_of


def torch_results(model: nn.Module, image: np.ndarray, image_id: int) -> list[dict[str, Any]]:
    """COCO result records of a source model's own inference on `[H,W,3]` uint8 RGB, best score first.

    `category_id` is the label; `segmentation` (compressed RLE) is there where the model has masks.
    """
    family = family_of(model)
    reference = family.reference(model, family.spec(model), device=next(model.parameters()).device)
    return reference.records(image, image_id=image_id)
