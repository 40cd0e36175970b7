"""The PyTorch model as a predictor, beside which model files are evaluated."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from torch import nn

from maskrt.contract.precision import SOURCE_PRECISION
from maskrt.errors import ArgumentError
from maskrt.export.exporter import weights_hash
from maskrt.export.families.base import SourceModel
from maskrt.export.reference import best_device
from maskrt.options import Thresholds


class SourcePredictor:
    """The PyTorch model, on the GPU where torch has one; see `maskrt.evaluation.metrics.predict.Predictor`.

    Args:
        source: the model; it is left as it is.
        thresholds: those that are None are the model's.
        threads: CPU threads, of this process from now on; None: one per core.

    Raises:
        ArgumentError: the model does not name its classes.
    """

    def __init__(self, source: SourceModel, thresholds: Thresholds, threads: int | None = None) -> None:
        if source.class_names is None:
            raise ArgumentError(f"{source.source} does not name its classes; give --class-names.")
        if threads is not None:
            torch.set_num_threads(threads)
        self._reference = source.reference(device=best_device())
        own = source.spec.detection
        self._thresholds = thresholds
        self.class_names = source.class_names
        self.has_masks = source.spec.mask_head is not None
        self.precision = SOURCE_PRECISION
        self.backend = f"{self._reference.computed_by} ({self._reference.device.type})"
        self.remark: str | None = self._reference.remark
        description = f"{weights_hash(source.model)}{source.model}{source.spec}{_settings(source.model)}"
        self.sha256 = hashlib.sha256(description.encode()).hexdigest()
        self.thresholds = (
            own.score_threshold if thresholds.score is None else thresholds.score,
            own.nms_threshold if thresholds.nms is None else thresholds.nms,
        )

    def predict(self, image: np.ndarray) -> list[dict[str, Any]]:
        """COCO records of an image [H, W, 3] uint8 RGB; `category_id` is the label, `image_id` is 0."""
        return self._reference.records(image, self._thresholds)


def _settings(model: nn.Module) -> list[tuple[str, str, Any]]:
    """Find what a module of the user's keeps for itself: neither weights nor text nor spec show it."""
    of_all_modules = vars(nn.Module())
    return [
        (name, key, value)
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if key not in of_all_modules and isinstance(value, int | float | str | tuple | list | dict)
    ]
