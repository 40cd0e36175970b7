"""What an mmdetection model computes, read off its config."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from maskrt.contract.pipeline import Boxes, Paste, Pipeline
from maskrt.export.families.config import Section
from maskrt.export.families.mmdet.pictures import picture_rules
from maskrt.export.families.mmdet.support import check_class, is_cascade, stages
from maskrt.export.rcnn.spec import (
    RPN,
    Anchors,
    BoxCoder,
    BoxHead,
    DetectionRule,
    LevelRule,
    MaskHead,
    MinSide,
    ModelSpec,
    RoIPooling,
)

_MAX_LOG_SCALE = abs(math.log(16 / 1000))
"""`DeltaXYWHBBoxCoder.decode`'s default, which no config changes."""

_LEVEL_EPSILON = 1e-6
"""`SingleRoIExtractor.map_roi_levels`'s."""


def model_spec(config: Section, features: int, divisor: int) -> ModelSpec:
    """Return the spec of a config that `support.check_supported` has accepted.

    Without masks mmdetection brings boxes to the picture's size before non-maximum suppression, not after it. Scaling
    an axis leaves an IoU as it is but for its rounding, so one rule serves both.

    Args:
        config: the whole config.
        features: how many feature maps the network gives; their names are "0", "1", ….
        divisor: what the network needs the sides of a canvas to be multiples of.

    Raises:
        UnsupportedModelError: an entry is not what it should be.
    """
    model = config.section("model")
    heads, limits = model.section("roi_head"), model.section("test_cfg").section("rcnn")
    boxes = stages(heads, "bbox_head")
    resize, normalization, padded_to = picture_rules(config)
    if padded_to % divisor:
        raise config.error(f"pads pictures to multiples of {padded_to}; expected a multiple of {divisor}")
    box_poolings = [_pooling(extractor, features) for extractor in stages(heads, "bbox_roi_extractor")]
    mask_head, mask_threshold = None, 0.5
    if heads.get("mask_head", None) is not None:
        own = heads.get("mask_roi_extractor", None) is not None
        mask_head = _mask_head(heads, "mask_roi_extractor" if own else "bbox_roi_extractor", features)
        mask_threshold = limits.number("mask_thr_binary", least=0, most=1)
    cascade = is_cascade(heads)
    kind = "MaskRCNN" if mask_head is not None else "RCNN" if cascade else "FasterRCNN"
    return ModelSpec(
        family=f"mmdet.{'Cascade' if cascade else ''}{kind}",
        normalization=normalization,
        pipeline=Pipeline(
            resize=resize,
            size_divisor=padded_to,
            boxes=Boxes(clip=False, drop_empty=False),
            paste=Paste("pixel_centers", mask_threshold),
        ),
        rpn=_rpn(model, features),
        box_heads=tuple(
            BoxHead(pooling, _coder(box.section("bbox_coder")), box.flag("reg_class_agnostic", False))
            for pooling, box in zip(box_poolings, boxes, strict=True)
        ),
        detection=DetectionRule(
            num_labels=_num_classes(boxes) + 1,
            background="last",
            activation="softmax",
            min_side=None,
            score_threshold=limits.number("score_thr", least=0, most=1),
            nms_threshold=_nms_threshold(limits),
            max_detections=limits.count("max_per_img"),
        ),
        mask_head=mask_head,
        stage_mean="logits",
    )


def _num_classes(boxes: Sequence[Section]) -> int:
    counts = [box.count("num_classes", 80) for box in boxes]
    for box, count in zip(boxes, counts, strict=True):
        if count != counts[0]:
            raise box.refusal("num_classes", f"{counts[0]}, as the first stage has")
    return counts[0]


def _mask_head(heads: Section, extractors: str, features: int) -> MaskHead:
    """Return what all stages have in common: their RoIs are the same."""
    each = [
        MaskHead(_pooling(extractor, features), mask.flag("class_agnostic", False))
        for extractor, mask in zip(stages(heads, extractors), stages(heads, "mask_head"), strict=True)
    ]
    if any(head != each[0] for head in each):
        raise heads.refusal(
            "mask_head", "mask heads of all stages that pool alike, and are class-agnostic or not alike"
        )
    return each[0]


def _nms_threshold(limits: Section) -> float:
    if "nms" not in limits.values and "nms_thr" in limits.values:  # the first releases of mmdetection 2
        return limits.number("nms_thr", least=0, most=1)
    nms = limits.section("nms")
    check_class(nms.with_values({"type": "nms", **nms.values}), ("nms",))
    return nms.number("iou_threshold", least=0, most=1)


def _rpn(model: Section, features: int) -> RPN:
    head, limits = model.section("rpn_head"), model.section("test_cfg").section("rpn")
    anchors = _anchors(head.section("anchor_generator"))
    if len(anchors) != features:
        raise head.section("anchor_generator").refusal("strides", f"one for each of the {features} feature maps")
    best = limits.count("nms_pre", most=1_000_000)
    if limits.count("nms_post", best) < best:
        raise limits.refusal("nms_post", "as many proposals of a level as nms_pre, or more")
    least = limits.number("min_bbox_size", -1)
    return RPN(
        features=_names(features),
        anchors=anchors,
        coder=_coder(head.section("bbox_coder")),
        top_k_by="probability",
        pre_nms_top_k=best,
        min_side=None if least < 0 else MinSide(least, inclusive=False),
        min_probability=None,
        finite_logits=False,
        nms_by="probability",
        nms_threshold=_nms_threshold(limits),
        post_nms_top_k=limits.count("max_per_img" if "max_per_img" in limits.values else "max_num"),
    )


def _names(features: int) -> tuple[str, ...]:
    return tuple(map(str, range(features)))


def _anchors(generator: Section) -> tuple[Anchors, ...]:
    """`AnchorGenerator`, in its own float32."""
    strides = generator.counts("strides")
    sizes = (
        generator.numbers("base_sizes", len(strides), default=strides) if generator.get("base_sizes", None) else strides
    )
    ratios = torch.tensor(generator.numbers("ratios"), dtype=torch.float32)
    scales = torch.tensor(generator.numbers("scales"), dtype=torch.float32)
    for key, values in (("ratios", ratios), ("scales", scales)):
        if not (values > 0).all():
            raise generator.refusal(key, "positive numbers")
    heights = torch.sqrt(ratios)
    widths = 1 / heights
    offset = generator.number("center_offset", 0.0)
    by_scale = generator.flag("scale_major", True)
    anchors = []
    for stride, size in zip(strides, sizes, strict=True):
        sides = []
        for factors in (widths, heights):
            grid = size * factors[:, None] * scales[None, :] if by_scale else size * scales[:, None] * factors[None, :]
            sides.append(grid.reshape(-1))
        width, height = sides
        center = offset * size
        cells = torch.stack(
            [center - 0.5 * width, center - 0.5 * height, center + 0.5 * width, center + 0.5 * height], dim=-1
        )
        anchors.append(Anchors(tuple((a, b, c, d) for a, b, c, d in cells.tolist()), stride, 0.0))
    return tuple(anchors)


def _coder(section: Section) -> BoxCoder:
    if any(section.numbers("target_means", 4, default=(0.0, 0.0, 0.0, 0.0))):
        raise section.refusal("target_means", "four zeros")
    x, y, width, height = section.numbers("target_stds", 4, default=(1.0, 1.0, 1.0, 1.0))
    return BoxCoder((x, y, width, height), "multiply", max_log_scale=_MAX_LOG_SCALE, min_log_scale=-_MAX_LOG_SCALE)


def _pooling(extractor: Section, features: int) -> RoIPooling:
    layer, strides = extractor.section("roi_layer"), extractor.counts("featmap_strides")
    if len(strides) > features:
        raise extractor.refusal("featmap_strides", f"no more strides than the {features} feature maps")
    rule = LevelRule(
        canonical_size=extractor.number("finest_scale", 56, least=1),
        canonical_level=0,
        first_level=0,
        inner_epsilon=_LEVEL_EPSILON,
        outer_epsilon=0.0,
    )
    return RoIPooling(
        features=_names(len(strides)),
        strides=strides,
        level_rule=None if len(strides) == 1 else rule,
        output_size=_sides(layer),
        sampling_ratio=layer.count("sampling_ratio", 0, least=0, most=64),
        aligned=layer.flag("aligned", True),
    )


def _sides(layer: Section) -> tuple[int, int]:
    """Rows and columns: one number for both, or two."""
    if not isinstance(layer.get("output_size"), list | tuple):
        side = layer.count("output_size", most=64)
        return side, side
    sides = layer.counts("output_size")
    if len(sides) != 2:
        raise layer.refusal("output_size", "one whole number, or two")
    return sides[0], sides[1]
