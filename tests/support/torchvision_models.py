"""Small detectors built of torchvision's own classes, as people build theirs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, KeypointRCNN, MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign

from maskrt.tools.drawn_weights import draw_weights

CLASSES = 4
"""With the background."""
CHANNELS = 16


class Body(nn.Module):
    """Stages of a convolution and its normalisation, of stride 4, 8, …."""

    def __init__(self, levels: int, norm: Any = nn.BatchNorm2d) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        before = 3
        for level in range(levels):
            after, stride = 8 * (level + 1), 4 if level == 0 else 2
            conv = nn.Conv2d(before, after, stride + 1, stride, stride // 2, bias=False)
            self.stages.append(nn.Sequential(conv, norm(after), nn.ReLU()))
            before = after

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = OrderedDict()
        for level, stage in enumerate(self.stages):
            x = features[str(level)] = stage(x)
        return features


class Pyramid(nn.Module):
    """A body and the FPN behind it."""

    def __init__(self, body: nn.Module, channels: Sequence[int], extra_blocks: Any = None) -> None:
        super().__init__()
        self.body = body
        self.fpn = FeaturePyramidNetwork(list(channels), CHANNELS, extra_blocks=extra_blocks)
        self.out_channels = CHANNELS

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return self.fpn(self.body(x))


def small_backbone(levels: int = 3, *, norm: Any = nn.BatchNorm2d, extra_blocks: Any = None) -> nn.Module:
    """A pyramid of `levels` feature maps "0", "1", … of stride 4, 8, …, and those of `extra_blocks`."""
    return Pyramid(Body(levels, norm), [8 * (level + 1) for level in range(levels)], extra_blocks)


def small_options(maps: int = 3, pooled: Sequence[str] = ("0", "1", "2"), **options: Any) -> dict[str, Any]:
    """Options of `FasterRCNN` for `maps` feature maps of `CHANNELS`, of which RoIs are pooled from `pooled`."""
    sizes = tuple((16 * 2**number,) for number in range(maps))
    return {
        "min_size": 96,
        "max_size": 160,
        "rpn_anchor_generator": AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * maps),
        "box_roi_pool": MultiScaleRoIAlign(list(pooled), 7, 2),
        "box_head": TwoMLPHead(CHANNELS * 7 * 7, 32),
        "box_predictor": FastRCNNPredictor(32, CLASSES),
        "rpn_post_nms_top_n_test": 60,
        "rpn_pre_nms_top_n_test": 200,
        "box_detections_per_img": 20,
        **options,
    }


def mask_options(pooled: Sequence[str] = ("0", "1", "2")) -> dict[str, Any]:
    """The options of `MaskRCNN` beyond those of `FasterRCNN`."""
    return {
        "mask_roi_pool": MultiScaleRoIAlign(list(pooled), 14, 2),
        "mask_head": MaskRCNNHeads(CHANNELS, (CHANNELS, CHANNELS), 1),
        "mask_predictor": MaskRCNNPredictor(CHANNELS, CHANNELS, CLASSES),
    }


def small_mask_rcnn(backbone: nn.Module | None = None, **options: Any) -> MaskRCNN:
    """A Mask R-CNN of 0.1 million weights, in evaluation mode, as PyTorch initialises it."""
    backbone = small_backbone() if backbone is None else backbone
    return MaskRCNN(backbone, **small_options(**{**mask_options(), **options})).eval()


def small_faster_rcnn(backbone: nn.Module | None = None, **options: Any) -> FasterRCNN:
    """The same without masks."""
    backbone = small_backbone() if backbone is None else backbone
    return FasterRCNN(backbone, **small_options(**options)).eval()


def keypoint_options(keypoints: int = 3) -> dict[str, Any]:
    """The options of `KeypointRCNN` beyond those of `FasterRCNN`."""
    return {
        "keypoint_roi_pool": MultiScaleRoIAlign(["0", "1", "2"], 14, 2),
        "keypoint_head": KeypointRCNNHeads(CHANNELS, (CHANNELS, CHANNELS)),
        "keypoint_predictor": KeypointRCNNPredictor(CHANNELS, keypoints),
    }


def small_keypoint_rcnn(keypoints: int = 3, *, masks: bool = False, **options: Any) -> FasterRCNN:
    """The same with keypoints, and with masks beside them if wanted."""
    if not masks:
        return KeypointRCNN(small_backbone(), **small_options(**keypoint_options(keypoints), **options)).eval()
    model = small_mask_rcnn(**options)
    for name, part in keypoint_options(keypoints).items():
        setattr(model.roi_heads, name, part)
    return model.eval()


def drawn(model: FasterRCNN, seed: int = 0) -> FasterRCNN:
    """The model with weights that spread its detections over classes and scores."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(2, 3, 9, 9, generator=generator)
    images = torch.nn.functional.interpolate(coarse, size=(128, 144), mode="bicubic").clamp(0, 1)
    return draw_weights(model, list(images), seed)


def old_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with the names that torchvision gave until 0.12 to the layers of FPN, RPN and mask head."""
    old = {}
    for key, value in state.items():
        words = key.split(".")
        if words[:3] == ["rpn", "head", "conv"]:
            words = ["rpn", "head", "conv", words[-1]]
        elif words[:2] == ["backbone", "fpn"] and words[2].endswith("blocks"):
            words = [*words[:4], words[-1]]
        elif words[:2] == ["roi_heads", "mask_head"]:
            words = ["roi_heads", "mask_head", f"mask_fcn{int(words[2]) + 1}", words[-1]]
        old[".".join(words)] = value
    return old
