"""detectron2's own model, where detectron2 is installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from maskrt.export.checkpoints.configs.base import Unknown
from maskrt.export.families.detectron2.network import GeneralizedRCNN
from maskrt.export.families.framework import Framework, Predict, load_into, picture_detections
from maskrt.export.reference import PictureDetections
from maskrt.options import Thresholds

_RECOMPUTED = ("pixel_mean", "pixel_std", "fed_loss_cls_weights")
_ANCHORS = tuple(f"anchor_generator.cell_anchors.{level}" for level in range(16))


def _open(network: nn.Module, thresholds: Thresholds, device: torch.device) -> Predict:
    """Build `DefaultPredictor` from the values of the config, and give it the tensors."""
    from detectron2.config import CfgNode, get_cfg
    from detectron2.engine import DefaultPredictor

    source = cast(GeneralizedRCNN, network)
    config = get_cfg()
    config.set_new_allowed(True)  # a config may be of a version with other keys
    config.merge_from_other_cfg(CfgNode(_fitted(source.config.values, config)))
    config.MODEL.DEVICE = str(device)
    config.MODEL.WEIGHTS = ""  # a file that detectron2 would unpickle
    config.DATASETS.TEST = ()
    heads = config.MODEL.ROI_HEADS
    if thresholds.score is not None:
        heads.SCORE_THRESH_TEST = float(thresholds.score)
    if thresholds.nms is not None:
        heads.NMS_THRESH_TEST = float(thresholds.nms)
    predictor = DefaultPredictor(config)
    load_into(predictor.model, network, (*_RECOMPUTED, *_ANCHORS))

    def predict(picture: np.ndarray) -> PictureDetections:
        found = predictor(np.ascontiguousarray(picture[:, :, ::-1]))["instances"]
        masks = found.pred_masks if found.has("pred_masks") else None
        keypoints = found.pred_keypoints if found.has("pred_keypoints") else None
        return picture_detections(found.pred_boxes.tensor, found.scores, found.pred_classes, masks, keypoints)

    return predict


def _fitted(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values as plain dictionaries, and whole numbers as floats where the default is one: yacs compares.

    Without what only running the config would give: it is of a project, or of training.
    """
    fitted: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Unknown):
            continue
        default = defaults.get(key)
        if isinstance(value, Mapping):
            value = _fitted(value, default if isinstance(default, Mapping) else {})
        elif type(value) is int and isinstance(default, float):
            value = float(value)
        fitted[key] = value
    return fitted


DETECTRON2 = Framework("detectron2", _open)
