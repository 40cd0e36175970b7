"""`build_network`: the modules of a detectron2 config, under the names that its checkpoints use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from maskrt.export.families.config import Section
from maskrt.export.families.detectron2.fpn import FPN
from maskrt.export.families.detectron2.heads import BoxHead, BoxPredictor, KeypointHead, MaskHead, RPNHead
from maskrt.export.families.detectron2.layers import NORMS
from maskrt.export.families.detectron2.resnet import (
    BASIC_DEPTHS,
    BLOCKS,
    STAGES,
    BlockOptions,
    ResNet,
    make_stage,
)
from maskrt.export.families.detectron2.spec import anchor_shapes, stage_weights
from maskrt.export.families.detectron2.support import C4_HEADS, CASCADE_HEADS, FPN_BACKBONE


class ProposalGenerator(nn.Module):
    """The place of the RPN head in the state dict."""

    def __init__(self, rpn_head: RPNHead) -> None:
        super().__init__()
        self.rpn_head = rpn_head


class RoIHeads(nn.Module):
    """The heads that run on RoIs; `res5` in place of a box head makes it a C4 model, lists of heads a cascade."""

    def __init__(
        self,
        box_predictor: BoxPredictor | nn.ModuleList,
        *,
        box_head: BoxHead | nn.ModuleList | None = None,
        res5: nn.Sequential | None = None,
        mask_head: MaskHead | None = None,
        keypoint_head: KeypointHead | None = None,
    ) -> None:
        super().__init__()
        self.box_head, self.res5, self.box_predictor, self.mask_head = box_head, res5, box_predictor, mask_head
        self.keypoint_head = keypoint_head

    def box_branches(self) -> tuple[nn.Module, ...]:
        """Return the head of each stage.

        Pooled RoIs `[N, C, P, P]` → logits `[N, K+1]`, the background last, and deltas `[N, 4K]` or `[N, 4]`.
        """
        if self.res5 is not None:
            return (nn.Sequential(self.res5, nn.AdaptiveAvgPool2d(1), nn.Flatten(), self.box_predictor),)
        assert self.box_head is not None
        if isinstance(self.box_head, nn.ModuleList):
            assert isinstance(self.box_predictor, nn.ModuleList)
            return tuple(map(nn.Sequential, self.box_head, self.box_predictor))
        return (nn.Sequential(self.box_head, self.box_predictor),)

    def mask_branch(self) -> nn.Module:
        """Pooled detections `[N, C, P, P]` → `[N, K, M, M]` or `[N, 1, M, M]`."""
        return nn.Sequential(*(part for part in (self.res5, self.mask_head) if part is not None))


class GeneralizedRCNN(nn.Module):
    """A Faster, Mask, Keypoint or Cascade R-CNN with the names of detectron2's state dicts.

    Attributes:
        config: that it was built from.
    """

    def __init__(self, config: Section, backbone: ResNet | FPN, rpn_head: RPNHead, roi_heads: RoIHeads) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.proposal_generator = ProposalGenerator(rpn_head)
        self.roi_heads = roi_heads


def build_network(config: Section) -> GeneralizedRCNN:
    """Make the modules of a config that `support.check_supported` has accepted, with weights yet to be loaded.

    Raises:
        UnsupportedModelError: an entry is not what it should be.
    """
    model = config.section("MODEL")
    with config.making_layers():
        backbone, channels = _backbone(model)
        return GeneralizedRCNN(config, backbone, _rpn_head(model, channels), _roi_heads(model, channels))


def _block_options(resnets: Section) -> BlockOptions:
    return BlockOptions(
        basic=resnets.one_of("DEPTH", BLOCKS) in BASIC_DEPTHS,
        groups=resnets.count("NUM_GROUPS"),
        stride_in_1x1=resnets.flag("STRIDE_IN_1X1"),
        norm=resnets.one_of("NORM", NORMS),
    )


def _backbone(model: Section) -> tuple[ResNet | FPN, dict[str, int]]:
    """Return the backbone, and the channels of its features by name."""
    resnets = model.section("RESNETS")
    names = resnets.texts("OUT_FEATURES")
    if not set(names) <= set(STAGES):
        raise resnets.refusal("OUT_FEATURES", f"stages, of {', '.join(STAGES)}")
    resnet = ResNet(
        resnets.one_of("DEPTH", BLOCKS),
        names,
        options=_block_options(resnets),
        stem_channels=resnets.count("STEM_OUT_CHANNELS"),
        res2_channels=resnets.count("RES2_OUT_CHANNELS"),
        width=resnets.count("NUM_GROUPS") * resnets.count("WIDTH_PER_GROUP"),
        res5_dilation=resnets.one_of("RES5_DILATION", (1, 2)),
    )
    if model.section("BACKBONE").get("NAME") != FPN_BACKBONE:
        return resnet, resnet.channels
    settings = model.section("FPN")
    stages = settings.texts("IN_FEATURES")
    if not set(stages) <= set(names) or list(stages) != sorted(stages)[: len(stages)]:
        raise settings.refusal("IN_FEATURES", f"stages of RESNETS.OUT_FEATURES, the finest first: {', '.join(names)}")
    channels = settings.count("OUT_CHANNELS")
    fpn = FPN(
        resnet,
        stages,
        channels,
        norm=settings.one_of("NORM", NORMS),
        average=settings.one_of("FUSE_TYPE", ("sum", "avg")) == "avg",
    )
    return fpn, dict.fromkeys(fpn.strides, channels)


def _rpn_head(model: Section, channels: Mapping[str, int]) -> RPNHead:
    settings = model.section("RPN")
    ((sizes, ratios), *_) = anchor_shapes(model.section("ANCHOR_GENERATOR"), len(settings.texts("IN_FEATURES")))
    dims = settings.counts("CONV_DIMS", least=-1)
    if 0 in dims:
        raise settings.refusal("CONV_DIMS", "numbers of channels, or -1 for as many as before")
    return RPNHead(_channels_of(settings, channels), len(sizes) * len(ratios), dims)


def _channels_of(section: Section, channels: Mapping[str, int]) -> int:
    """Of the features that a head reads, which must all have as many."""
    names = section.texts("IN_FEATURES")
    found = {channels.get(name) for name in names}
    if None in found or len(found) != 1:
        raise section.refusal("IN_FEATURES", f"features of the backbone, with equal channels, of {', '.join(channels)}")
    return channels[names[0]]


def _roi_heads(model: Section, channels: Mapping[str, int]) -> RoIHeads:
    heads, box, mask = (model.section(f"ROI_{name}") for name in ("HEADS", "BOX_HEAD", "MASK_HEAD"))
    classes, inputs = heads.count("NUM_CLASSES"), _channels_of(heads, channels)
    cascade = heads.get("NAME") == CASCADE_HEADS
    stages = len(stage_weights(model)) if cascade else 1
    box_head: BoxHead | nn.ModuleList | None = None
    res5 = mask_head = keypoint_head = None
    if heads.get("NAME") == C4_HEADS:
        # Three bottlenecks, whatever the depth of the backbone.
        resnets = model.section("RESNETS")
        width = 8 * resnets.count("NUM_GROUPS") * resnets.count("WIDTH_PER_GROUP")
        outputs = 8 * resnets.count("RES2_OUT_CHANNELS")
        res5 = make_stage(3, (inputs, width, outputs), replace(_block_options(resnets), basic=False), stride=2)
        inputs = box_channels = outputs
    else:
        box_heads = [
            BoxHead(
                inputs,
                box.count("POOLER_RESOLUTION", most=64),
                [box.count("CONV_DIM")] * box.count("NUM_CONV", least=0, most=32),
                [box.count("FC_DIM")] * box.count("NUM_FC", least=0, most=32),
                box.one_of("NORM", NORMS),
            )
            for _ in range(stages)
        ]
        box_head = nn.ModuleList(box_heads) if cascade else box_heads[0]
        box_channels = box_heads[0].out_channels
    if model.flag("MASK_ON"):
        dim = mask.count("CONV_DIM")
        mask_head = MaskHead(
            inputs,
            [dim] * mask.count("NUM_CONV", least=0, most=32),
            dim,
            1 if mask.flag("CLS_AGNOSTIC_MASK") else classes,
            mask.one_of("NORM", NORMS),
        )
    if model.flag("KEYPOINT_ON"):
        keypoint = model.section("ROI_KEYPOINT_HEAD")
        keypoint_head = KeypointHead(inputs, keypoint.counts("CONV_DIMS"), keypoint.count("NUM_KEYPOINTS"))
    agnostic = box.flag("CLS_AGNOSTIC_BBOX_REG")
    predictors = [BoxPredictor(box_channels, classes, agnostic) for _ in range(stages)]
    predictor = nn.ModuleList(predictors) if cascade else predictors[0]
    return RoIHeads(predictor, box_head=box_head, res5=res5, mask_head=mask_head, keypoint_head=keypoint_head)
