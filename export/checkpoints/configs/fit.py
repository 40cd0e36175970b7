"""Brings a config and the weights together: what contradicts is named, and what a config leaves out is inferred."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from maskrt.export.checkpoints.configs.base import Config
from maskrt.export.checkpoints.configs.detectron2 import Detectron2Config
from maskrt.export.checkpoints.errors import ConfigError, shown
from maskrt.export.checkpoints.facts import HeadFacts, NetworkFacts, Norm

_BATCH_NORMS = ("FrozenBN", "BN", "SyncBN", "nnSyncBN", "naiveSyncBN", "naiveSyncBN_N")


def fit_detectron2(config: Detectron2Config, facts: NetworkFacts, weights: str) -> Detectron2Config:
    """Complete a config of detectron2 by what the weights tell.

    A value that the config gives must be what the weights say; one that it leaves out becomes what they say, and a
    note says so where that is not detectron2's default.

    Args:
        config: of the model.
        facts: of its weights.
        weights: where they are from, for messages.

    Raises:
        ConfigError: the config is of another model than the weights.
    """
    _check_structure(config, facts, weights)
    values = copy.deepcopy(dict(config.values))
    inferred: list[str] = []
    for name, fact in _facts(facts, config):
        *groups, key = name.split(".")
        group: dict[str, Any] = values
        for each in groups:
            group = group[each]
        if _agree(key, group[key], fact):
            continue
        if name in config.given:
            raise _another(config, weights, name, group[key], fact)
        group[key] = fact
        inferred.append(f"{name} {shown(fact)}")
    if not inferred:
        return config
    note = f"{config.source} leaves out what the weights tell, which was taken from them: {', '.join(inferred)}."
    return replace(config, values=values, notes=(*config.notes, note))


def check_mmdet(config: Config, facts: NetworkFacts, weights: str) -> None:
    """Check that a config of mmdetection is of the model that the weights are of, where it says what they tell.

    Raises:
        ConfigError: it is of another model.
    """
    cascade = facts.cascade_stages > 1
    box = "model.roi_head.bbox_head" + (".0" if cascade else "")
    told: list[tuple[str, Any]] = [(f"{box}.num_classes", facts.num_classes)]
    if facts.backbone.depth is not None:
        told.append(("model.backbone.depth", facts.backbone.depth))
    if facts.num_classes > 1:
        told.append((f"{box}.reg_class_agnostic", facts.class_agnostic_boxes))
    for name, fact in told:
        said = config.value(name, None)
        if said is not None and said != fact:
            raise _another(config, weights, name, said, fact)
    has_masks = bool(config.value("model.roi_head.mask_head", None))
    if has_masks != (facts.mask_head is not None):
        raise _another(config, weights, "model.roi_head.mask_head", has_masks, not has_masks)


def _another(config: Config, weights: str, name: str, said: Any, told: Any) -> ConfigError:
    return ConfigError(
        f"{config.source} is the config of another model than {weights}: it says {name} {shown(said)}, and the weights "
        f"{shown(told)}. Give the config that this checkpoint was trained with."
    )


def _check_structure(config: Detectron2Config, facts: NetworkFacts, weights: str) -> None:
    """Return what other keys depend on, and so is not inferred alone."""
    heads = config.values["MODEL"]["ROI_HEADS"]["NAME"]
    backbone = config.values["MODEL"]["BACKBONE"]["NAME"]
    stages = len(config.values["MODEL"]["ROI_BOX_CASCADE_HEAD"]["BBOX_REG_WEIGHTS"])
    pairs = (
        ("an FPN", "fpn" in backbone, facts.fpn_channels > 0, "Base-RCNN-FPN.yaml"),
        (
            "res5 in the RoI heads (C4)",
            heads == "Res5ROIHeads",
            facts.backbone.last_stage == "heads",
            "Base-RCNN-C4.yaml",
        ),
        ("a cascade", heads == "CascadeROIHeads", facts.cascade_stages > 1, "Misc/cascade_mask_rcnn_R_50_FPN_3x.yaml"),
        (f"a cascade of {facts.cascade_stages}", stages == facts.cascade_stages or facts.cascade_stages == 1, True, ""),
    )
    for what, said, told, base in pairs:
        if said != told:
            has, have = ("has", "have none") if said else ("has none", "have it")
            hint = f" A config that leaves the rest out begins with _BASE_: {base}." if told and base else ""
            raise ConfigError(
                f"{config.source} is the config of another model than {weights}: {what}: the config {has}, the weights "
                f"{have}. Give the config that this checkpoint was trained with.{hint}"
            )


def _agree(key: str, said: Any, fact: Any) -> bool:
    if key == "NORM" and fact == "BN":
        return said in _BATCH_NORMS  # in inference they are one
    return bool(said == fact)


def _facts(facts: NetworkFacts, config: Detectron2Config) -> Iterator[tuple[str, Any]]:
    """Dotted names, and what the weights say of them."""
    backbone = facts.backbone
    resnets = "MODEL.RESNETS."
    if backbone.depth is not None:
        yield f"{resnets}DEPTH", backbone.depth
    yield f"{resnets}STEM_OUT_CHANNELS", backbone.stem_channels
    yield f"{resnets}RES2_OUT_CHANNELS", backbone.channels
    if not backbone.basic:
        yield f"{resnets}NUM_GROUPS", backbone.groups
        yield f"{resnets}WIDTH_PER_GROUP", backbone.width_per_group
    yield f"{resnets}NORM", backbone.norm
    if facts.fpn_channels:
        yield "MODEL.FPN.OUT_CHANNELS", facts.fpn_channels
        yield "MODEL.FPN.NORM", facts.fpn_norm
    yield "MODEL.ROI_HEADS.NUM_CLASSES", facts.num_classes
    yield "MODEL.RPN.CONV_DIMS", _conv_dims(facts, config)
    box = "MODEL.ROI_BOX_HEAD."
    if facts.num_classes > 1:
        yield f"{box}CLS_AGNOSTIC_BBOX_REG", facts.class_agnostic_boxes
    if backbone.last_stage == "backbone":
        yield from _head(box, facts.box_head)
        yield f"{box}NUM_FC", len(facts.box_head.linears)
        if facts.box_head.linears:
            yield f"{box}FC_DIM", facts.box_head.linears[0]
        if facts.box_head.resolution is not None:
            yield f"{box}POOLER_RESOLUTION", facts.box_head.resolution
    yield "MODEL.MASK_ON", facts.mask_head is not None
    if facts.mask_head is not None:
        yield from _head("MODEL.ROI_MASK_HEAD.", facts.mask_head)
        if facts.num_classes > 1:
            yield "MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK", facts.class_agnostic_masks
    yield "MODEL.KEYPOINT_ON", facts.keypoints > 0
    if facts.keypoints:
        yield "MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS", facts.keypoints


def _head(prefix: str, head: HeadFacts) -> Iterator[tuple[str, Any]]:
    yield f"{prefix}NUM_CONV", len(head.convs)
    if head.convs:
        norm: Norm = head.norm
        yield f"{prefix}CONV_DIM", head.convs[0]
        yield f"{prefix}NORM", norm


def _conv_dims(facts: NetworkFacts, config: Detectron2Config) -> list[int]:
    """-1 stands for as many channels as the features have, which the weights say in full."""
    said: list[int] = config.values["MODEL"]["RPN"]["CONV_DIMS"]
    told = list(facts.rpn.convs)
    channels = facts.fpn_channels or None
    written = [channels if dim == -1 else dim for dim in said]
    agree = len(said) == len(told) and all(dim in (None, fact) for dim, fact in zip(written, told, strict=True))
    return said if agree else told
