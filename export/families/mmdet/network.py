"""`build_network`: the modules of an mmdetection config, under the names that its checkpoints use.

A config gives the arguments of mmdetection's classes, so what it leaves out has the default of the class.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from maskrt.export.families.config import Section
from maskrt.export.families.mmdet.fpn import FPN
from maskrt.export.families.mmdet.heads import BoxHead, MaskHead, RPNHead
from maskrt.export.families.mmdet.layers import NORMS
from maskrt.export.families.mmdet.resnet import BASIC_DEPTHS, BLOCKS, BlockOptions, ResNet, SharedHead
from maskrt.export.families.mmdet.support import SHARED_LAYERS, is_cascade, stages, type_of

_STAGES = {"strides": (1, 2, 2, 2), "dilations": (1, 1, 1, 1)}
"""The defaults of a ResNet."""


class RoIHead(nn.Module):
    """The heads that run on RoIs; with a `shared_head` it is a C4 model, with lists of heads a cascade."""

    def __init__(
        self,
        bbox_head: BoxHead | nn.ModuleList,
        *,
        mask_head: MaskHead | nn.ModuleList | None = None,
        shared_head: SharedHead | None = None,
    ) -> None:
        super().__init__()
        self.bbox_head, self.mask_head, self.shared_head = bbox_head, mask_head, shared_head

    def box_branches(self) -> tuple[nn.Module, ...]:
        """Return the head of each stage.

        Pooled RoIs `[N, C, P, P]` → logits `[N, K+1]`, the background last, and deltas `[N, 4K]` or `[N, 4]`.
        """
        return tuple(map(self._behind_shared_head, _each(self.bbox_head)))

    def mask_branches(self) -> tuple[nn.Module, ...]:
        """Return the mask heads, if any: pooled detections `[N, C, P, P]` → `[N, K, M, M]` or `[N, 1, M, M]`."""
        return () if self.mask_head is None else tuple(map(self._behind_shared_head, _each(self.mask_head)))

    def _behind_shared_head(self, head: nn.Module) -> nn.Module:
        return head if self.shared_head is None else nn.Sequential(self.shared_head, head)


def _each(head: nn.Module) -> Iterable[nn.Module]:
    return head if isinstance(head, nn.ModuleList) else (head,)


class FeatureExtractor(nn.Module):
    """Backbone and neck as one: `[B, 3, H, W]` → feature maps by name, which is a number, the finest first."""

    def __init__(self, backbone: ResNet, neck: FPN | None) -> None:
        super().__init__()
        self.backbone, self.neck = backbone, neck

    def forward(self, canvas: Tensor) -> dict[str, Tensor]:
        """Run it; see the class."""
        features = self.backbone(canvas)
        if self.neck is not None:
            features = self.neck(features)
        return {str(number): feature for number, feature in enumerate(features)}


class TwoStageDetector(nn.Module):
    """A Faster, Mask or Cascade R-CNN with the names of mmdetection's state dicts.

    Attributes:
        config: that it was built from.
    """

    def __init__(
        self, config: Section, backbone: ResNet, neck: FPN | None, rpn_head: RPNHead, roi_head: RoIHead
    ) -> None:
        super().__init__()
        self.config = config
        self.backbone, self.neck, self.rpn_head, self.roi_head = backbone, neck, rpn_head, roi_head

    def num_features(self) -> int:
        """How many feature maps the backbone, or its neck, gives."""
        return len(self.backbone.strides) if self.neck is None else self.neck.num_outs

    def size_divisor(self) -> int:
        """Return what canvas sides must be multiples of: the last stride of a pyramid, whose levels are doubled."""
        return 1 if self.neck is None else self.backbone.strides[-1]


def build_network(config: Section) -> TwoStageDetector:
    """Make the modules of a config that `support.check_supported` has accepted, with weights yet to be loaded.

    Raises:
        UnsupportedModelError: an entry is not what it should be.
    """
    with config.making_layers():
        return _network(config)


def _network(config: Section) -> TwoStageDetector:
    model = config.section("model")
    backbone = _resnet(model.section("backbone"))
    neck = None if model.get("neck", None) is None else _fpn(model.section("neck"), backbone)
    channels = backbone.channels[0] if neck is None else neck.channels
    if neck is None and len(backbone.channels) != 1:
        raise model.section("backbone").refusal("out_indices", "a single stage where there is no neck")
    rpn_head = _rpn_head(model.section("rpn_head"), channels)
    return TwoStageDetector(config, backbone, neck, rpn_head, _roi_head(model.section("roi_head"), channels))


def _norm(section: Section, default: Mapping[str, Any] | None = None) -> Mapping[str, Any] | None:
    """Return the `norm_cfg` of a section, checked; None: no normalisation."""
    if section.get("norm_cfg", default) is None:
        return None
    norm = section.section("norm_cfg") if "norm_cfg" in section.values else Section(default or {})
    kind = norm.one_of("type", NORMS)
    epsilon = norm.number("eps", 1e-5, least=0)
    return {"type": kind, "eps": epsilon, "num_groups": norm.count("num_groups") if kind == "GN" else None}


def _block_options(section: Section, base_channels: int = 64) -> BlockOptions:
    resnext = type_of(section) == "ResNeXt"
    norm = _norm(section, {"type": "BN"})
    if norm is None:
        raise section.refusal("norm_cfg", "a normalisation")
    return BlockOptions(
        basic=section.one_of("depth", BLOCKS) in BASIC_DEPTHS,
        stride_in_1x1=section.one_of("style", ("pytorch", "caffe"), "pytorch") == "caffe",
        norm=norm,
        groups=section.count("groups", 1) if resnext else 1,
        width_factor=section.count("base_width", 4) / base_channels if resnext else 1.0,
    )


def _resnet(section: Section) -> ResNet:
    base_channels = section.count("base_channels", 64)
    stages = section.count("num_stages", 4, most=4)
    strides, dilations = (section.counts(key, default) for key, default in _STAGES.items())
    outputs = section.counts("out_indices", (0, 1, 2, 3), least=0)
    for key, values in (("strides", strides), ("dilations", dilations)):
        if len(values) < stages:
            raise section.refusal(key, f"one for each of the {stages} stages")
    if max(outputs) >= stages or list(outputs) != sorted(set(outputs)):
        raise section.refusal("out_indices", f"rising numbers of the {stages} stages, which are counted from 0")
    stem_channels = None if section.get("stem_channels", None) is None else section.count("stem_channels")
    return ResNet(
        section.one_of("depth", BLOCKS),
        options=_block_options(section, base_channels),
        stem_channels=stem_channels or base_channels,
        base_channels=base_channels,
        strides=strides[:stages],
        dilations=dilations[:stages],
        out_indices=outputs,
    )


def _fpn(section: Section, backbone: ResNet) -> FPN:
    channels = section.counts("in_channels")
    if list(channels) != backbone.channels:
        raise section.refusal("in_channels", f"those of the backbone, {backbone.channels}")
    if any(coarse != 2 * fine for fine, coarse in pairwise(backbone.strides)):
        raise section.refusal("in_channels", "features each of twice the stride of the one before")
    return FPN(
        channels,
        section.count("out_channels"),
        section.count("num_outs", least=len(channels), most=16),
        norm=_norm(section),
        norm_on_lateral=not section.flag("no_norm_on_lateral", False),
    )


def _check_channels(section: Section, channels: int, default: int | None = None) -> None:
    given = section.count("in_channels") if default is None else section.count("in_channels", default)
    if given != channels:
        raise section.refusal("in_channels", f"{channels}, as many as its input has")


def _rpn_head(section: Section, channels: int) -> RPNHead:
    _check_channels(section, channels)
    generator = section.section("anchor_generator")
    return RPNHead(
        channels,
        section.count("feat_channels", 256),
        section.count("num_convs", 1, most=32),
        len(generator.numbers("scales")) * len(generator.numbers("ratios")),
        softmax=not section.section("loss_cls").flag("use_sigmoid", False),
    )


def _roi_head(section: Section, channels: int) -> RoIHead:
    shared_head: SharedHead | None = None
    mask_head: MaskHead | nn.ModuleList | None = None
    if section.get("shared_head", None) is not None:
        shared = section.section("shared_head")
        shared_head = SharedHead(
            shared.one_of("depth", BLOCKS),
            shared.count("stage", 3, least=1, most=3),
            _block_options(shared),
            shared.count("stride", 2, most=8),
            shared.count("dilation", 1, most=8),
        )
        if shared_head.in_channels != channels:
            raise shared.refusal("stage", f"one that takes the {channels} channels of the features")
        channels = shared_head.out_channels
    boxes = stages(section, "bbox_head")
    box_heads = [_box_head(box, channels) for box in boxes]
    if section.get("mask_head", None) is not None:
        masks = stages(section, "mask_head")
        for mask in masks:
            if mask.get("num_classes", 80) != boxes[0].get("num_classes", 80):
                raise mask.refusal("num_classes", "as many as the bbox_head has")
        mask_heads = [_mask_head(mask, channels) for mask in masks]
        mask_head = nn.ModuleList(mask_heads) if is_cascade(section) else mask_heads[0]
    return RoIHead(
        nn.ModuleList(box_heads) if is_cascade(section) else box_heads[0], mask_head=mask_head, shared_head=shared_head
    )


def _box_head(section: Section, channels: int) -> BoxHead:
    _check_channels(section, channels, 256)
    convs, fcs = SHARED_LAYERS.get(type_of(section)) or (
        section.count("num_shared_convs", 0, least=0, most=32),
        section.count("num_shared_fcs", 0, least=0, most=32),
    )
    return BoxHead(
        channels,
        section.count("roi_feat_size", 7, most=64),
        section.count("num_classes", 80),
        convs=[section.count("conv_out_channels", 256)] * convs,
        fcs=[section.count("fc_out_channels", 1024)] * fcs,
        class_agnostic=section.flag("reg_class_agnostic", False),
        average=section.flag("with_avg_pool", False),
        norm=_norm(section),
    )


def _mask_head(section: Section, channels: int) -> MaskHead:
    _check_channels(section, channels, 256)
    return MaskHead(
        channels,
        section.count("conv_out_channels", 256),
        section.count("num_convs", 4, least=0, most=32),
        1 if section.flag("class_agnostic", False) else section.count("num_classes", 80),
        norm=_norm(section),
    )
