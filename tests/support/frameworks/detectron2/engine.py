"""`DefaultPredictor`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from recorded import Model, find

from .config import CfgNode

MADE: list[CfgNode] = []
"""The configs of all predictors."""


class _Boxes:
    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


class _Instances:
    def __init__(self, **fields: Any) -> None:
        self._fields = fields

    def has(self, name: str) -> bool:
        return name in self._fields

    def __getattr__(self, name: str) -> Any:
        if name not in self._fields:
            raise AttributeError(f"Cannot find field '{name}' in the given Instances!")
        return self._fields[name]


class DefaultPredictor:
    def __init__(self, cfg: CfgNode) -> None:
        assert cfg.MODEL.WEIGHTS == "", "it would be unpickled"
        assert cfg.DATASETS.TEST == ()
        self.cfg = cfg
        names = ("pixel_mean", "pixel_std", "proposal_generator.anchor_generator.cell_anchors.0")
        self.model = Model(*names).eval()
        MADE.append(cfg)

    def __call__(self, original_image: np.ndarray) -> dict[str, _Instances]:
        found = find(self.model, original_image)
        kept = torch.from_numpy(found["scores"]) > self.cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST
        fields = {name: torch.from_numpy(value)[kept] for name, value in found.items()}
        instances = {
            "pred_boxes": _Boxes(fields["boxes"]),
            "scores": fields["scores"],
            "pred_classes": fields["classes"],
        }
        if self.cfg.MODEL.MASK_ON:
            instances["pred_masks"] = fields["masks"]
        return {"instances": _Instances(**instances)}
