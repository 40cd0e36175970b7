"""What a detectron2 model computes, read off its config."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from maskrt.contract.keypoints import COCO_PERSON
from maskrt.contract.pipeline import Boxes, Paste, Pipeline, Resize
from maskrt.export.families.config import Section
from maskrt.export.families.detectron2.support import C4_HEADS, CASCADE_HEADS, FPN_BACKBONE
from maskrt.export.families.keypoints import keypoint_names
from maskrt.export.rcnn.spec import (
    RPN,
    Anchors,
    BoxCoder,
    BoxHead,
    DetectionRule,
    KeypointHead,
    LevelRule,
    MaskHead,
    MinSide,
    ModelSpec,
    Normalization,
    RoIPooling,
)

_MAX_LOG_SCALE = math.log(1000.0 / 16)
"""`Box2BoxTransform`'s default, which no config changes."""

_CANONICAL_SIZE, _CANONICAL_LEVEL, _LEVEL_EPSILON = 224.0, 4, 1e-8
"""`ROIPooler`'s defaults, which no config changes."""

_MASK_THRESHOLD = 0.5
"""`detector_postprocess`'s."""


def model_spec(config: Section, strides: Mapping[str, int]) -> ModelSpec:
    """Return the spec of a config that `support.check_supported` has accepted.

    Args:
        config: the whole config.
        strides: of the backbone's features, by name.

    Raises:
        UnsupportedModelError: an entry is not what it should be.
    """
    model = config.section("MODEL")
    box, heads = model.section("ROI_BOX_HEAD"), model.section("ROI_HEADS")
    box_pooling = _pooling(box, heads, strides)
    mask_head = None
    if model.flag("MASK_ON"):
        mask = model.section("ROI_MASK_HEAD")
        # A C4 model has one pooler for boxes and masks.
        pooling = box_pooling if heads.get("NAME") == C4_HEADS else _pooling(mask, heads, strides)
        mask_head = MaskHead(pooling, mask.flag("CLS_AGNOSTIC_MASK"))
    keypoint_head = _keypoint_head(config, strides) if model.flag("KEYPOINT_ON") else None
    cascade = heads.get("NAME") == CASCADE_HEADS
    coders = [_coder_of(weights) for weights in stage_weights(model)] if cascade else [_coder(box)]
    kind = "Mask" if mask_head else "Keypoint" if keypoint_head else "" if cascade else "Faster"
    return ModelSpec(
        family=f"detectron2.{'Cascade' if cascade else ''}{kind}RCNN",
        normalization=Normalization(
            "RGB" if config.section("INPUT").one_of("FORMAT", ("BGR", "RGB")) == "RGB" else "BGR",
            1,
            _three(model, "PIXEL_MEAN"),
            _three(model, "PIXEL_STD", least=1e-3),
        ),
        pipeline=_pipeline(config, strides),
        rpn=_rpn(model, strides),
        box_heads=tuple(BoxHead(box_pooling, coder, box.flag("CLS_AGNOSTIC_BBOX_REG")) for coder in coders),
        detection=DetectionRule(
            num_labels=heads.count("NUM_CLASSES") + 1,
            background="last",
            activation="sigmoid" if box.flag("USE_SIGMOID_CE") else "softmax",
            min_side=None,
            score_threshold=heads.number("SCORE_THRESH_TEST", least=0, most=1),
            nms_threshold=heads.number("NMS_THRESH_TEST", least=0, most=1),
            max_detections=config.section("TEST").count("DETECTIONS_PER_IMAGE"),
        ),
        mask_head=mask_head,
        stage_mean="scores",
        keypoint_head=keypoint_head,
    )


def _keypoint_head(config: Section, strides: Mapping[str, int]) -> KeypointHead:
    model = config.section("MODEL")
    section = model.section("ROI_KEYPOINT_HEAD")
    count = section.count("NUM_KEYPOINTS")
    trained_on = config.section("DATASETS").get("TRAIN", None)
    of_coco = count == len(COCO_PERSON) and "keypoints_coco_" in str(trained_on)
    names = keypoint_names(COCO_PERSON if of_coco else None, count)
    return KeypointHead(_pooling(section, model.section("ROI_HEADS"), strides), names, "normalized")


def _pipeline(config: Section, strides: Mapping[str, int]) -> Pipeline:
    """`ResizeShortestEdge`, `ImageList.from_tensors` and `detector_postprocess`."""
    settings = config.section("INPUT")
    # The coarsest level of a pyramid subsamples the one before, and needs no multiple of its own.
    padded = config.section("MODEL").section("BACKBONE").get("NAME") == FPN_BACKBONE
    return Pipeline(
        resize=Resize(
            "shortest_edge",
            "pillow_bilinear",
            settings.count("MIN_SIZE_TEST", least=0),
            settings.count("MAX_SIZE_TEST"),
        ),
        size_divisor=max(strides.values()) // 2 if padded else 1,
        boxes=Boxes(clip=True, drop_empty=True),
        paste=Paste("pixel_centers", _MASK_THRESHOLD),
    )


def _rpn(model: Section, strides: Mapping[str, int]) -> RPN:
    settings = model.section("RPN")
    features = _features(settings, strides)
    return RPN(
        features=features,
        anchors=_anchors(model.section("ANCHOR_GENERATOR"), [strides[name] for name in features]),
        coder=_coder(settings),
        top_k_by="logit",
        pre_nms_top_k=settings.count("PRE_NMS_TOPK_TEST", most=1_000_000),
        min_side=MinSide(model.section("PROPOSAL_GENERATOR").number("MIN_SIZE", least=0), inclusive=False),
        min_probability=None,
        finite_logits=True,
        nms_by="logit",
        nms_threshold=settings.number("NMS_THRESH", least=0, most=1),
        post_nms_top_k=settings.count("POST_NMS_TOPK_TEST"),
    )


def _features(section: Section, strides: Mapping[str, int]) -> tuple[str, ...]:
    names = section.texts("IN_FEATURES")
    if not set(names) <= set(strides):
        raise section.refusal("IN_FEATURES", f"features of the backbone, {', '.join(strides)}")
    return names


def anchor_shapes(generator: Section, levels: int) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
    """Sizes and aspect ratios of each level (`DefaultAnchorGenerator`).

    Raises:
        UnsupportedModelError: there are not as many lists as levels, or levels have different numbers of anchors, which
            one head could not serve.
    """
    sizes, ratios = (_of_each_level(generator, key, levels) for key in ("SIZES", "ASPECT_RATIOS"))
    shapes = list(zip(sizes, ratios, strict=True))
    if len({len(size) * len(ratio) for size, ratio in shapes}) != 1:
        raise generator.refusal("SIZES", "as many anchors for each feature map as for any other")
    return shapes


def _of_each_level(generator: Section, key: str, levels: int) -> list[tuple[float, ...]]:
    """Return a list of lists, or one list that holds for all levels."""
    value = generator.get(key)
    nested = isinstance(value, list | tuple) and len(value) > 0 and isinstance(value[0], list | tuple)
    rows = [generator.with_values({key: row}).numbers(key) for row in (value if nested else [value])]
    rows = rows * levels if len(rows) == 1 else rows
    if len(rows) != levels or min(map(min, rows)) <= 0:
        raise generator.refusal(key, f"a list of positive numbers for each of {levels} feature maps, or one for all")
    return rows


def _anchors(generator: Section, strides: Sequence[int]) -> tuple[Anchors, ...]:
    offset = generator.number("OFFSET", least=0, most=1)
    anchors = []
    for stride, (sizes, ratios) in zip(strides, anchor_shapes(generator, len(strides)), strict=True):
        cells = []
        for size in sizes:
            for ratio in ratios:
                width = math.sqrt(size**2.0 / ratio)
                height = ratio * width
                cell = np.array([-width / 2, -height / 2, width / 2, height / 2], np.float32)
                cells.append(tuple(cell.tolist()))
        anchors.append(Anchors(tuple(cells), stride, offset * stride))
    return tuple(anchors)


def stage_weights(model: Section) -> list[tuple[float, ...]]:
    """Return the weights of the deltas of each stage of a cascade.

    Raises:
        UnsupportedModelError: they are not four numbers for each of one stage or more.
    """
    section, key = model.section("ROI_BOX_CASCADE_HEAD"), "BBOX_REG_WEIGHTS"
    rows = section.get(key)
    if not isinstance(rows, list | tuple) or not rows:
        raise section.refusal(key, "four numbers for each stage")
    return [section.with_values({key: row}).numbers(key, 4) for row in rows]


def _coder(section: Section) -> BoxCoder:
    return _coder_of(section.numbers("BBOX_REG_WEIGHTS", 4))


def _coder_of(weights: tuple[float, ...]) -> BoxCoder:
    x, y, width, height = weights
    return BoxCoder((x, y, width, height), "divide", max_log_scale=_MAX_LOG_SCALE, min_log_scale=None)


def _pooling(section: Section, heads: Section, strides: Mapping[str, int]) -> RoIPooling:
    names = _features(heads, strides)
    octaves = [strides[name].bit_length() - 1 for name in names]
    if octaves != list(range(octaves[0], octaves[0] + len(octaves))):
        raise heads.refusal("IN_FEATURES", "features each of twice the stride of the one before")
    rule = LevelRule(
        canonical_size=_CANONICAL_SIZE,
        canonical_level=_CANONICAL_LEVEL,
        first_level=octaves[0],
        inner_epsilon=_LEVEL_EPSILON,
        outer_epsilon=0.0,
    )
    side = section.count("POOLER_RESOLUTION", most=64)
    return RoIPooling(
        features=names,
        strides=tuple(strides[name] for name in names),
        level_rule=None if len(names) == 1 else rule,
        output_size=(side, side),
        sampling_ratio=section.count("POOLER_SAMPLING_RATIO", least=0, most=64),
        aligned=section.one_of("POOLER_TYPE", ("ROIAlign", "ROIAlignV2")) == "ROIAlignV2",
    )


def _three(section: Section, key: str, least: float = -math.inf) -> tuple[float, float, float]:
    first, second, third = values = section.numbers(key, 3)
    if min(values) < least:
        raise section.refusal(key, f"numbers from {least}")
    return first, second, third
