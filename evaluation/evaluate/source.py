"""The PyTorch model as a predictor, beside which model files are evaluated."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import numpy as np
import torch
from torch import nn
from torchvision.models.detection import FasterRCNN

from maskrt.errors import ArgumentError
from maskrt.evaluation.source_model import SourceModel
from maskrt.evaluation.torch_results import torch_results
from maskrt.export.exporter import weights_hash
from maskrt.options import Thresholds


class SourcePredictor:
    """The PyTorch model, on the GPU where torch has one; see `maskrt.evaluation.metrics.predict.Predictor`.

    Args:
        source: the model; it is copied.
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
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model: FasterRCNN = copy.deepcopy(source.model).to(device)
        heads = self._model.roi_heads
        heads.score_thresh = heads.score_thresh if thresholds.score is None else thresholds.score
        heads.nms_thresh = heads.nms_thresh if thresholds.nms is None else thresholds.nms
        self.class_names = source.class_names
        self.precision = "fp32"
        self.backend = f"PyTorch ({device.type})"
        description = f"{weights_hash(source.model)}{source.model}{_settings(source.model)}"
        self.sha256 = hashlib.sha256(description.encode()).hexdigest()
        self.thresholds = heads.score_thresh, heads.nms_thresh

    def predict(self, image: np.ndarray) -> list[dict[str, Any]]:
        """COCO records of an image [H, W, 3] uint8 RGB; `category_id` is the label, `image_id` is 0."""
        return torch_results(self._model, image, 0)


def _settings(model: nn.Module) -> list[tuple[str, str, Any]]:
    """Detections per image, sizes of anchors and the like, by module: neither its weights nor its text show them."""
    of_all_modules = vars(nn.Module())
    return [
        (name, key, value)
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if key not in of_all_modules and isinstance(value, int | float | str | tuple | list | dict)
    ]
