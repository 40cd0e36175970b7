"""A two-stage detector of no framework, small enough to run in milliseconds, for any spec."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from maskrt.contract.pipeline import Boxes, Paste, Pipeline, Resize
from maskrt.export.rcnn.modules import RcnnModules
from maskrt.export.rcnn.spec import (
    RPN,
    Anchors,
    BoxCoder,
    BoxHead,
    DetectionRule,
    MaskHead,
    MinSide,
    ModelSpec,
    Normalization,
    RoIPooling,
)

from . import level_rules

_CHANNELS = 8
_STRIDES = {"p2": 4, "p3": 8, "p4": 16, "p5": 32}
_GROWTH = math.log(1000 / 16)

# An eighth of the usual size, as the pictures are, so that RoIs lie on all levels.
_TORCHVISION = replace(level_rules.TORCHVISION, canonical_size=28.0)
_DETECTRON2 = replace(level_rules.DETECTRON2, canonical_size=28.0)
_MMDETECTION = replace(level_rules.MMDETECTION, canonical_size=7.0)


def _anchors(size: float, stride: int | None, offset: float = 0.0) -> Anchors:
    halves = [(size * w / 2, size * h / 2) for w, h in ((1.37, 0.73), (1.0, 1.0), (0.73, 1.37))]
    cells = torch.tensor([(-w, -h, w, h) for w, h in halves]).tolist()
    return Anchors(tuple(tuple(cell) for cell in cells), stride, offset)


def _pooling(size: int, *, aligned: bool, sampling_ratio: int) -> RoIPooling:
    return RoIPooling(tuple(_STRIDES), tuple(_STRIDES.values()), _TORCHVISION, (size, size), sampling_ratio, aligned)


_DIVIDE = BoxCoder((10.0, 10.0, 5.0, 5.0), "divide", _GROWTH, None)
_MULTIPLY = BoxCoder((0.1, 0.1, 0.2, 0.2), "multiply", _GROWTH, -_GROWTH)

TORCHVISION_LIKE = ModelSpec(
    family="tiny",
    normalization=Normalization("RGB", 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    pipeline=Pipeline(Resize("floor", "bilinear", 96, 160), 32, Boxes(False, False), Paste("integer_box", 0.5)),
    rpn=RPN(
        features=tuple(_STRIDES),
        anchors=tuple(_anchors(4.0 * stride, None) for stride in _STRIDES.values()),
        coder=BoxCoder((1.0, 1.0, 1.0, 1.0), "divide", _GROWTH, None),
        top_k_by="logit",
        pre_nms_top_k=50,
        min_side=MinSide(1e-3, inclusive=True),
        min_probability=0.0,
        finite_logits=False,
        nms_by="probability",
        nms_threshold=0.7,
        post_nms_top_k=40,
    ),
    box_heads=(BoxHead(_pooling(3, aligned=False, sampling_ratio=2), _DIVIDE, class_agnostic=False),),
    detection=DetectionRule(5, "first", "softmax", MinSide(1e-2, inclusive=True), 0.2, 0.5, 20),
    mask_head=MaskHead(_pooling(4, aligned=False, sampling_ratio=2), class_agnostic=False),
)
"""torchvision's choices."""

_OURS = TORCHVISION_LIKE
_ALIGNED = replace(_pooling(3, aligned=True, sampling_ratio=0), level_rule=_DETECTRON2)

DETECTRON2_LIKE = replace(
    _OURS,
    normalization=Normalization("BGR", 1, (103.53, 116.28, 123.675), (1.0, 1.0, 1.0)),
    pipeline=Pipeline(
        Resize("shortest_edge", "pillow_bilinear", 96, 160), 32, Boxes(True, True), Paste("pixel_centers", 0.5)
    ),
    rpn=replace(
        _OURS.rpn,
        anchors=tuple(_anchors(4.1 * stride, stride) for stride in _STRIDES.values()),
        min_side=MinSide(0.0, inclusive=False),
        min_probability=None,
        finite_logits=True,
        nms_by="logit",
    ),
    box_heads=(BoxHead(_ALIGNED, _DIVIDE, class_agnostic=False),),
    detection=replace(_OURS.detection, background="last", min_side=None),
    mask_head=MaskHead(replace(_ALIGNED, output_size=(4, 4)), class_agnostic=False),
)
"""detectron2's."""

_ALIGNED_MM = replace(_ALIGNED, level_rule=_MMDETECTION)

MMDETECTION_LIKE = replace(
    DETECTRON2_LIKE,
    normalization=Normalization("RGB", 1, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    pipeline=Pipeline(Resize("fit", "opencv_bilinear", 96, 160), 32, Boxes(False, False), Paste("pixel_centers", 0.5)),
    rpn=replace(
        DETECTRON2_LIKE.rpn,
        coder=replace(_MULTIPLY, weights=(1.0, 1.0, 1.0, 1.0)),
        top_k_by="probability",
        finite_logits=False,
        nms_by="probability",
    ),
    box_heads=(BoxHead(_ALIGNED_MM, _MULTIPLY, class_agnostic=False),),
    mask_head=MaskHead(replace(_ALIGNED_MM, output_size=(4, 4)), class_agnostic=False),
)
"""mmdetection's."""


class TinyDetector(nn.Module):
    """Drawn weights whose outputs spread over labels, scores and sizes; the same for the same spec."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        generator = torch.Generator().manual_seed(1)
        anchors = len(spec.rpn.anchors[0].cells)
        labels, last = spec.detection.num_labels, spec.detection.background == "last"
        self.backbone = _Backbone()
        self.rpn_head = _RpnHead(anchors)
        self.box_heads, self.mask_heads = nn.ModuleList(), nn.ModuleList()
        for box_head in spec.box_heads:
            boxes = 1 if box_head.class_agnostic else labels - 1 if last else labels
            height, width = box_head.pooling.output_size
            self.box_heads.append(_BoxHead(_CHANNELS * height * width, labels, 4 * boxes))
        if spec.mask_head is not None:
            masks = 1 if spec.mask_head.class_agnostic else labels - 1 if last else labels
            for _ in range(len(spec.box_heads) if spec.stage_mean == "logits" else 1):  # as mmdetection, and detectron2
                up = nn.ConvTranspose2d(_CHANNELS, _CHANNELS, 2, 2)
                self.mask_heads.append(nn.Sequential(up, nn.ReLU(), nn.Conv2d(_CHANNELS, masks, 1)))
        if spec.keypoint_head is not None:
            self.keypoint_head = nn.ConvTranspose2d(_CHANNELS, len(spec.keypoint_head.names), 4, 2, 1)
        for parameter in self.parameters():
            fan_in = parameter[0].numel() if parameter.dim() > 1 else 1
            scale = (2 / fan_in) ** 0.5 if parameter.dim() > 1 else 0.1
            parameter.data = torch.randn(parameter.shape, generator=generator) * scale
        noise = torch.rand(1, 3, 64, 64, generator=generator) * 255 / spec.normalization.divisor
        mean, std = (torch.tensor(v)[:, None, None] for v in (spec.normalization.mean, spec.normalization.std))
        self.backbone.set_statistics((noise - mean) / std)
        self.eval()

    @staticmethod
    def parts(model: nn.Module) -> RcnnModules:
        """Its layers, or those of a copy of it."""
        heads = tuple(model.box_heads), tuple(model.mask_heads)  # type: ignore[arg-type]
        keypoints = getattr(model, "keypoint_head", None)
        return RcnnModules(model.backbone, model.rpn_head, *heads, keypoints)  # type: ignore[arg-type]


class _Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, _CHANNELS, 7, 4, 3)
        self.norm = nn.BatchNorm2d(_CHANNELS)
        self.downs = nn.ModuleList(nn.Conv2d(_CHANNELS, _CHANNELS, 3, 2, 1) for _ in range(3))

    @torch.no_grad()
    def set_statistics(self, images: Tensor) -> None:
        """Of the normalisation, from what reaches it."""
        x = self.stem(images)
        self.norm.running_mean, self.norm.running_var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3))

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        x = torch.tanh(self.norm(self.stem(x)))
        features = OrderedDict(p2=x)
        for name, down in zip(("p3", "p4", "p5"), self.downs, strict=True):
            x = torch.tanh(down(x))
            features[name] = x
        return features


class _RpnHead(nn.Module):
    def __init__(self, anchors: int) -> None:
        super().__init__()
        self.logits, self.deltas = nn.Conv2d(_CHANNELS, anchors, 1), nn.Conv2d(_CHANNELS, 4 * anchors, 1)

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        return [self.logits(x) for x in features], [0.2 * self.deltas(x) for x in features]


class _BoxHead(nn.Module):
    def __init__(self, inputs: int, labels: int, deltas: int) -> None:
        super().__init__()
        self.scores, self.deltas = nn.Linear(inputs, labels), nn.Linear(inputs, deltas)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.flatten(1)
        return 3 * self.scores(x), self.deltas(x)
