"""`init_detector` and `inference_detector` of mmdetection 3."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from recorded import Model, find

MADE: list[Config] = []
"""The configs of all detectors."""


class _InstanceData:
    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def __contains__(self, name: str) -> bool:
        return name in self.__dict__


class _DetDataSample:
    def __init__(self, pred_instances: _InstanceData) -> None:
        self.pred_instances = pred_instances


def init_detector(
    config: str | Config,
    checkpoint: str | None = None,
    palette: str = "none",
    device: str = "cuda:0",
    cfg_options: dict[str, Any] | None = None,
) -> Model:
    if not isinstance(config, Config):
        raise TypeError(f"config must be a filename or Config object, but got {type(config)}")
    assert checkpoint is None, "it would be unpickled"
    assert palette != "none", "the data set would be built"
    assert config.default_scope == "mmdet"
    assert config.model.type in ("MaskRCNN", "FasterRCNN", "CascadeRCNN")
    assert config.model.backbone.init_cfg is None
    model = Model()
    model.cfg = config  # type: ignore[assignment]
    MADE.append(config)
    return model.to(device).eval()


def inference_detector(model: Model, imgs: np.ndarray) -> _DetDataSample:
    config: Any = model.cfg
    assert config.test_dataloader.dataset.pipeline[0].type == "LoadImageFromFile"
    found = find(model, imgs)
    kept = torch.from_numpy(found["scores"]) > config.model.test_cfg.rcnn.score_thr
    fields = {name: torch.from_numpy(value)[kept] for name, value in found.items()}
    instances = {"bboxes": fields["boxes"], "scores": fields["scores"], "labels": fields["classes"]}
    if config.model.roi_head.get("mask_head") is not None:
        instances["masks"] = fields["masks"]
    return _DetDataSample(_InstanceData(**instances))
