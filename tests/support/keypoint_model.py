"""A torchvision Keypoint R-CNN that is small enough for fast tests, with drawn weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torchvision.models.detection import KeypointRCNN, MaskRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign

from maskrt.tools.drawn_weights import draw_weights

NAMES = ("head", "left hand", "right hand")
_SIZES: dict[str, Any] = {"min_size": 160, "max_size": 224, "box_detections_per_img": 12}


def keypoint_model(pictures: Sequence[np.ndarray], *, keypoints: int = 3, masks: bool = False) -> Any:
    """Make a model of two classes besides the background; the same for the same arguments.

    Args:
        pictures: `[H, W, 3]` uint8 RGB, that the weights are scaled on.
        keypoints: how many there are.
        masks: whether it has masks as well.
    """
    torch.manual_seed(0)
    backbone = resnet_fpn_backbone(backbone_name="resnet18", weights=None)
    if masks:
        model: Any = MaskRCNN(
            backbone,
            num_classes=None,
            box_predictor=_box_predictor(),
            mask_head=MaskRCNNHeads(256, (32,), 1),
            mask_predictor=MaskRCNNPredictor(32, 16, 3),
            **_SIZES,
        )
        heads = model.roi_heads
        heads.keypoint_roi_pool = MultiScaleRoIAlign(["0", "1", "2", "3"], 14, 2)
        heads.keypoint_head, heads.keypoint_predictor = _keypoint_parts(keypoints)
    else:
        head, predictor = _keypoint_parts(keypoints)
        model = KeypointRCNN(
            backbone,
            num_classes=None,
            box_predictor=_box_predictor(),
            keypoint_head=head,
            keypoint_predictor=predictor,
            **_SIZES,
        )
    model.class_names = ["__background__", "person", "robot"]
    model.keypoint_names = [*NAMES, *(f"joint {number}" for number in range(keypoints))][:keypoints]
    return draw_weights(model, [torch.from_numpy(picture).permute(2, 0, 1).float() / 255 for picture in pictures])


def _keypoint_parts(keypoints: int) -> tuple[KeypointRCNNHeads, KeypointRCNNPredictor]:
    return KeypointRCNNHeads(256, (32, 32)), KeypointRCNNPredictor(32, keypoints)


def _box_predictor() -> FastRCNNPredictor:
    return FastRCNNPredictor(1024, 3)
