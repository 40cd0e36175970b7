"""What the names and shapes of weights tell of a network: everything but what has no weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Shapes = Mapping[str, tuple[int, ...]]
Norm = Literal["BN", "GN", ""]
"""BN: with statistics (FrozenBN, BN, SyncBN, which are one in inference). GN: without."""

_DEPTHS: dict[tuple[bool, tuple[int, ...]], int] = {
    (True, (2, 2, 2, 2)): 18,
    (True, (3, 4, 6, 3)): 34,
    (False, (3, 4, 6, 3)): 50,
    (False, (3, 4, 23, 3)): 101,
    (False, (3, 8, 36, 3)): 152,
}
"""(basic blocks, blocks of each stage) → depth."""


@dataclass(frozen=True)
class BackboneFacts:
    """A ResNet.

    Attributes:
        blocks: of each stage, the RoI head's last stage of a C4 model included.
        basic: two 3x3 convolutions in a block, not a bottleneck.
        depth: the usual number for that; None: none is.
        stem_channels, channels: of the stem, and of the output of the first stage.
        groups, width_per_group: of a bottleneck's 3x3 convolutions in the first stage; 1 and the width of basic ones.
        norm: behind each convolution.
        last_stage: where the last stage is; "missing": a C4 model without the heads' stage.
    """

    blocks: tuple[int, ...]
    basic: bool
    depth: int | None
    stem_channels: int
    channels: int
    groups: int
    width_per_group: int
    norm: Norm
    last_stage: Literal["backbone", "heads", "missing"]


@dataclass(frozen=True)
class HeadFacts:
    """A head on RoIs, or the RPN's: 3x3 convolutions (channels of each), then linear layers (outputs of each).

    Attributes:
        convs, linears: outputs.
        norm: of the convolutions.
        resolution: of the RoIs that the linear layers take; None: there are none.
    """

    convs: tuple[int, ...]
    linears: tuple[int, ...]
    norm: Norm
    resolution: int | None


@dataclass(frozen=True)
class NetworkFacts:
    """A two-stage detector of detectron2 or mmdetection.

    Attributes:
        backbone: the ResNet.
        fpn_channels, fpn_levels, fpn_norm: of the FPN, without levels that have no weights; 0: there is none.
        rpn: the convolutions before the RPN's outputs.
        anchors: at each position.
        num_classes: without the background.
        cascade_stages: box heads, one after the other; 1: no cascade.
        box_head: of the first stage.
        class_agnostic_boxes: one box for all classes; of one class alone, both are the same, and it is False.
        mask_head: None: no masks.
        class_agnostic_masks: one mask for all classes; of one class alone, both are the same, and it is False.
        mask_stages: mask heads, one for each stage of a cascade; 1 or 0 otherwise.
        keypoints: how many there are; 0: none.
    """

    backbone: BackboneFacts
    fpn_channels: int
    fpn_levels: int
    fpn_norm: Norm
    rpn: HeadFacts
    anchors: int
    num_classes: int
    cascade_stages: int
    box_head: HeadFacts
    class_agnostic_boxes: bool
    mask_head: HeadFacts | None
    class_agnostic_masks: bool
    mask_stages: int
    keypoints: int


class FactsError(Exception):
    """A weight is missing or has an impossible shape; the message is a part of a sentence that names the file."""


def detectron2_facts(shapes: Shapes) -> NetworkFacts:
    """Return what detectron2's names and shapes tell (`Checkpoint.shapes`).

    Raises:
        FactsError: a weight that every such network has is missing, or has another rank.
    """
    s = _Shapes(shapes)
    root = "backbone.bottom_up." if s.has("backbone.bottom_up.") else "backbone."
    fpn = s.has("backbone.fpn_lateral")
    cascade = s.count("roi_heads.box_predictor.{}.", 0)
    stage = "0." if cascade else ""
    predictor = f"roi_heads.box_predictor.{stage}"
    classes = s.dim(f"{predictor}cls_score.weight", 0, 2) - 1
    rpn = "proposal_generator.rpn_head."
    several = s.count(f"{rpn}conv.conv{{}}.", 0)
    convs = [f"conv.conv{n}" for n in range(several)] or ["conv"]
    mask = "roi_heads.mask_head." if s.has("roi_heads.mask_head.") else None
    box = f"roi_heads.box_head.{stage}"
    keypoints = "roi_heads.keypoint_head.score_lowres.weight"
    return NetworkFacts(
        backbone=_detectron2_backbone(s, root),
        fpn_channels=s.dim("backbone.fpn_output5.weight", 0, 4) if fpn else 0,
        fpn_levels=sum(s.has(f"backbone.fpn_lateral{level}.") for level in range(2, 10)),
        fpn_norm=s.norm("backbone.fpn_output5.norm") if fpn else "",
        rpn=HeadFacts(s.outputs([f"{rpn}{conv}.weight" for conv in convs], 4), (), "", None),
        anchors=s.dim(f"{rpn}objectness_logits.weight", 0, 4),
        num_classes=classes,
        cascade_stages=cascade or 1,
        box_head=s.head(box, "conv{}", "fc{}", 1, "conv1.norm"),
        class_agnostic_boxes=classes > 1 and s.dim(f"{predictor}bbox_pred.weight", 0, 2) == 4,
        mask_head=None if mask is None else s.head(mask, "mask_fcn{}", "", 1, "mask_fcn1.norm"),
        class_agnostic_masks=mask is not None and classes > 1 and s.dim(f"{mask}predictor.weight", 0, 4) == 1,
        mask_stages=int(mask is not None),
        keypoints=s.dim(keypoints, 1, 4) if keypoints in shapes else 0,
    )


def mmdet_facts(shapes: Shapes) -> NetworkFacts:
    """Return what mmdetection's names and shapes tell (`Checkpoint.shapes`).

    Raises:
        FactsError: a weight that every such network has is missing, or has another rank.
    """
    s = _Shapes(shapes)
    fpn = s.has("neck.")
    last = s.count("neck.fpn_convs.{}.", 0) - 1
    cascade = s.count("roi_head.bbox_head.{}.", 0)
    box = "roi_head.bbox_head.0." if cascade else "roi_head.bbox_head."
    classes = s.dim(f"{box}fc_cls.weight", 0, 2) - 1
    masks = s.count("roi_head.mask_head.{}.conv", 0) or int(s.has("roi_head.mask_head."))
    mask = "roi_head.mask_head.0." if s.has("roi_head.mask_head.0.") else "roi_head.mask_head."
    several = s.count("rpn_head.rpn_conv.{}.conv.", 0)
    convs = [f"rpn_head.rpn_conv.{n}.conv.weight" for n in range(several)] or ["rpn_head.rpn_conv.weight"]
    return NetworkFacts(
        backbone=_mmdet_backbone(s),
        fpn_channels=s.dim(f"neck.fpn_convs.{last}.conv.weight", 0, 4) if fpn else 0,
        fpn_levels=s.count("neck.lateral_convs.{}.", 0),
        fpn_norm=s.conv_module_norm(f"neck.fpn_convs.{last}") if fpn else "",
        rpn=HeadFacts(s.outputs(convs, 4), (), "", None),
        anchors=s.dim("rpn_head.rpn_reg.weight", 0, 4) // 4,
        num_classes=classes,
        cascade_stages=cascade or 1,
        box_head=s.head(box, "shared_convs.{}.conv", "shared_fcs.{}", 0, "shared_convs.0"),
        class_agnostic_boxes=classes > 1 and s.dim(f"{box}fc_reg.weight", 0, 2) == 4,
        mask_head=s.head(mask, "convs.{}.conv", "", 0, "convs.0") if masks else None,
        class_agnostic_masks=bool(masks) and classes > 1 and s.dim(f"{mask}conv_logits.weight", 0, 4) == 1,
        mask_stages=masks,
        keypoints=0,
    )


def _detectron2_backbone(s: _Shapes, root: str) -> BackboneFacts:
    stages = [f"{root}res{n}" for n in range(2, 6) if s.has(f"{root}res{n}.")]
    in_heads = s.has("roi_heads.res5.")
    stages += ["roi_heads.res5"] if in_heads else []
    blocks = tuple(s.count(f"{stage}.{{}}.", 0) for stage in stages)
    basic = f"{root}res2.0.conv3.weight" not in s.shapes
    return BackboneFacts(
        blocks=blocks,
        basic=basic,
        depth=_DEPTHS.get((basic, blocks)),
        stem_channels=s.dim(f"{root}stem.conv1.weight", 0, 4),
        channels=s.dim(f"{root}res2.0.conv{2 if basic else 3}.weight", 0, 4),
        groups=s.groups(f"{root}res2.0.conv2.weight"),
        width_per_group=s.dim(f"{root}res2.0.conv2.weight", 0, 4) // s.groups(f"{root}res2.0.conv2.weight"),
        norm=s.norm(f"{root}stem.conv1.norm"),
        last_stage="heads" if in_heads else "backbone" if s.has(f"{root}res5.") else "missing",
    )


def _mmdet_backbone(s: _Shapes) -> BackboneFacts:
    stages = [f"backbone.layer{n}" for n in range(1, 5) if s.has(f"backbone.layer{n}.")]
    shared = "roi_head.shared_head.layer4"
    stages += [shared] if s.has(f"{shared}.") else []
    blocks = tuple(s.count(f"{stage}.{{}}.", 0) for stage in stages)
    basic = "backbone.layer1.0.conv3.weight" not in s.shapes
    return BackboneFacts(
        blocks=blocks,
        basic=basic,
        depth=_DEPTHS.get((basic, blocks)),
        stem_channels=s.dim("backbone.conv1.weight", 0, 4),
        channels=s.dim(f"backbone.layer1.0.conv{2 if basic else 3}.weight", 0, 4),
        groups=s.groups("backbone.layer1.0.conv2.weight"),
        width_per_group=s.dim("backbone.layer1.0.conv2.weight", 0, 4) // s.groups("backbone.layer1.0.conv2.weight"),
        norm="GN" if s.has("backbone.gn1.") else s.norm("backbone.bn1"),
        last_stage="heads" if s.has(f"{shared}.") else "backbone" if s.has("backbone.layer4.") else "missing",
    )


class _Shapes:
    """Shapes by name, asked for what is in them."""

    def __init__(self, shapes: Shapes) -> None:
        self.shapes = shapes
        self._text = "\n" + "\n".join(shapes)

    def has(self, beginning: str) -> bool:
        """Whether some name begins so."""
        return f"\n{beginning}" in self._text

    def count(self, pattern: str, first: int) -> int:
        """How many numbers in a row, from `first`, make a beginning of some name."""
        number = first
        while self.has(pattern.format(number)):
            number += 1
        return number - first

    def dim(self, name: str, axis: int, rank: int) -> int:
        """Return a dimension of a weight."""
        shape = self.shapes.get(name)
        if shape is None:
            raise FactsError(f"it has no {name}")
        if len(shape) != rank or not all(shape):
            raise FactsError(f"its {name} has the shape {list(shape)[:8]}, expected {rank} dimensions")
        return shape[axis]

    def outputs(self, names: list[str], rank: int) -> tuple[int, ...]:
        """Return the outputs of layers, by the names of their weights."""
        return tuple(self.dim(name, 0, rank) for name in names)

    def groups(self, name: str) -> int:
        """Return the groups of a convolution with as many inputs as outputs; 1 if its shape says none."""
        outputs, inputs = self.dim(name, 0, 4), self.dim(name, 1, 4)
        return outputs // inputs if outputs % inputs == 0 else 1

    def norm(self, name: str) -> Norm:
        """Return the normalisation of a name."""
        if f"{name}.running_mean" in self.shapes:
            return "BN"
        return "GN" if f"{name}.weight" in self.shapes else ""

    def conv_module_norm(self, name: str) -> Norm:
        """Return the normalisation in mmdetection's ConvModule of a name."""
        return "GN" if self.has(f"{name}.gn.") else "BN" if self.has(f"{name}.bn.") else ""

    def head(self, root: str, conv: str, linear: str, first: int, norm: str) -> HeadFacts:
        """Return a head below `root`; `conv` and `linear` are the names of its layers, counted from `first`."""
        convs = [f"{root}{conv.format(n)}.weight" for n in range(first, first + self.count(f"{root}{conv}.", first))]
        linears = (
            [f"{root}{linear.format(n)}.weight" for n in range(first, first + self.count(f"{root}{linear}.", first))]
            if linear
            else []
        )
        outputs = self.outputs(convs, 4)
        resolution = None
        if linears:
            inputs = self.dim(linears[0], 1, 2)
            channels = outputs[-1] if outputs else self._roi_channels()
            root_of = round((inputs / channels) ** 0.5)
            resolution = root_of if root_of * root_of * channels == inputs else None
        is_module = not norm.endswith(".norm")
        kind = self.conv_module_norm(f"{root}{norm}") if is_module else self.norm(f"{root}{norm}")
        return HeadFacts(outputs, self.outputs(linears, 2), kind, resolution)

    def _roi_channels(self) -> int:
        """Channels of the features that RoIs are pooled from: the FPN's, or else the backbone's last."""
        for pattern in (r"backbone\.fpn_output\d", r"neck\.fpn_convs\.\d\.conv"):
            found = re.search(rf"^({pattern}\.weight)$", self._text, re.MULTILINE)
            if found is not None:
                return self.dim(found[1], 0, 4)
        rpn = "proposal_generator.rpn_head.conv.weight"
        return self.dim(rpn if rpn in self.shapes else "rpn_head.rpn_conv.weight", 1, 4)
