"""mmdetection's own model, where mmdetection is installed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from maskrt.export.errors import UnsupportedModelError
from maskrt.export.families.framework import Framework, Predict, load_into, picture_detections
from maskrt.export.families.mmdet.network import TwoStageDetector
from maskrt.export.reference import PictureDetections
from maskrt.options import Thresholds

_RECOMPUTED = ("data_preprocessor.mean", "data_preprocessor.std")


def _open(network: nn.Module, thresholds: Thresholds, device: torch.device) -> Predict:
    """Build the model with `init_detector` from the values of the config, and give it the tensors."""
    import mmdet
    from mmdet.apis import inference_detector, init_detector
    from mmengine.config import Config

    if str(mmdet.__version__).startswith(("0.", "1.", "2.")):
        raise UnsupportedModelError("expected mmdetection 3")
    source = cast(TwoStageDetector, network)
    config = _config(source.config.values, thresholds)
    # Without a checkpoint, which mmengine would unpickle; the palette is for drawing, and else asks for the data set.
    model = init_detector(Config(config), None, palette="coco", device=str(device))
    load_into(model, network, _RECOMPUTED)

    def predict(picture: np.ndarray) -> PictureDetections:
        found = inference_detector(model, np.ascontiguousarray(picture[:, :, ::-1])).pred_instances
        masks = torch.as_tensor(found.masks) if "masks" in found else None
        return picture_detections(found.bboxes, found.scores, found.labels, masks)

    return predict


def _config(values: Mapping[str, Any], thresholds: Thresholds) -> dict[str, Any]:
    """Return what building the model and running its test pipeline take of a config: nothing that could be run.

    Raises:
        UnsupportedModelError: it is of mmdetection 2, or has something that is no plain value.
    """
    if "test_dataloader" not in values or "data_preprocessor" not in values["model"]:
        raise UnsupportedModelError("its config is mmdetection 2's, which mmdetection 3 does not take")
    kept = {
        "default_scope": "mmdet",
        "model": _checked(values["model"], "model"),
        "test_dataloader": {
            "dataset": {"pipeline": _checked(values["test_dataloader"]["dataset"]["pipeline"], "test_dataloader")}
        },
    }
    model = kept["model"]
    model["backbone"]["init_cfg"] = None  # names a file with the weights that training started from
    if thresholds.score is not None:
        model["test_cfg"]["rcnn"]["score_thr"] = thresholds.score
    if thresholds.nms is not None:
        model["test_cfg"]["rcnn"]["nms"]["iou_threshold"] = thresholds.nms
    return kept


def _checked(value: Any, name: str) -> Any:
    """Return a copy.

    mmengine builds `dict(type=…)` with the class of that name in its registry, or, where the name has a dot, with
    whatever Python object is called so, which could do anything.

    Raises:
        UnsupportedModelError: a type is no plain name, or a value is none.
    """
    if isinstance(value, dict):
        copied = {key: _checked(each, f"{name}.{key}") for key, each in value.items()}
        kind = copied.get("type")
        if kind is not None:
            known = isinstance(kind, str) and re.fullmatch(r"(?:mmdet\.)?([A-Za-z_]\w*)", kind)
            if not known:
                raise UnsupportedModelError(f"its config has the type {kind!r} at {name}, which is no name of a class")
            copied["type"] = known[1]
        return copied
    if isinstance(value, list | tuple):
        return [_checked(each, f"{name}.{number}") for number, each in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise UnsupportedModelError(f"its config has no plain value at {name}")


MMDET = Framework("mmdet", _open)
