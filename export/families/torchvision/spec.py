"""What a torchvision model computes, read off its parts."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor
from torchvision.models.detection import _utils as detection_utils
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.ops import MultiScaleRoIAlign

from maskrt.contract.pipeline import Pipeline, Resize
from maskrt.export.families.keypoints import keypoint_names
from maskrt.export.families.torchvision.max_roi_align import MaxRoIAlign
from maskrt.export.families.torchvision.numbers import last_size, number, numbers, whole
from maskrt.export.families.torchvision.operations import BOXES, PASTE
from maskrt.export.families.torchvision.support import CANVAS, check_supported, try_layers
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

_LEVEL_EPSILON = 1e-6
"""`LevelMapper`'s."""

_SMALLEST_DETECTION = 1e-2
"""Side in pixels; `RoIHeads.postprocess_detections`."""


def model_spec(model: GeneralizedRCNN) -> ModelSpec:
    """Return the spec of a model in evaluation mode, FP32.

    Raises:
        UnsupportedModelError: the model has a part that cannot be expressed; the message names it.
    """
    check_supported(model)
    trial = try_layers(model)
    features = trial.features
    heads, rpn, transform = model.roi_heads, model.rpn, model.transform
    with_masks, with_keypoints = bool(heads.has_mask()), bool(heads.has_keypoint())
    return ModelSpec(
        family=f"torchvision.{'Mask' if with_masks else 'Keypoint' if with_keypoints else 'Faster'}RCNN",
        normalization=Normalization(
            "RGB",
            255,
            _three(transform.image_mean, "transform.image_mean"),
            _three(transform.image_std, "transform.image_std"),
        ),
        pipeline=Pipeline(
            resize=Resize(
                "floor",
                "bilinear",
                last_size(transform.min_size, "transform.min_size"),
                whole(transform.max_size, "transform.max_size"),
            ),
            size_divisor=int(transform.size_divisible),
            boxes=BOXES,
            paste=PASTE,
        ),
        rpn=RPN(
            features=tuple(features),
            anchors=tuple(
                Anchors(cells=tuple(tuple(cell) for cell in cells.tolist()), stride=None, offset=0.0)
                for cells in rpn.anchor_generator.cell_anchors
            ),
            coder=_coder(rpn.box_coder, "rpn.box_coder"),
            top_k_by="logit",
            pre_nms_top_k=whole(rpn.pre_nms_top_n(), "rpn.pre_nms_top_n"),
            min_side=MinSide(number(rpn.min_size, "rpn.min_size"), inclusive=True),
            min_probability=number(rpn.score_thresh, "rpn.score_thresh"),
            finite_logits=False,
            nms_by="probability",
            nms_threshold=number(rpn.nms_thresh, "rpn.nms_thresh"),
            post_nms_top_k=whole(rpn.post_nms_top_n(), "rpn.post_nms_top_n"),
        ),
        box_heads=(
            BoxHead(
                _pooling(heads.box_roi_pool, "roi_heads.box_roi_pool", features),
                _coder(heads.box_coder, "roi_heads.box_coder"),
                class_agnostic=False,
            ),
        ),
        detection=DetectionRule(
            num_labels=trial.num_labels,
            background="first",
            activation="softmax",
            min_side=MinSide(_SMALLEST_DETECTION, inclusive=True),
            score_threshold=number(heads.score_thresh, "roi_heads.score_thresh"),
            nms_threshold=number(heads.nms_thresh, "roi_heads.nms_thresh"),
            max_detections=whole(heads.detections_per_img, "roi_heads.detections_per_img"),
        ),
        mask_head=MaskHead(_pooling(heads.mask_roi_pool, "roi_heads.mask_roi_pool", features), class_agnostic=False)
        if with_masks
        else None,
        keypoint_head=KeypointHead(
            _pooling(heads.keypoint_roi_pool, "roi_heads.keypoint_roi_pool", features),
            keypoint_names(getattr(model, "keypoint_names", None), trial.num_keypoints),
            "logit",
        )
        if with_keypoints
        else None,
    )


def _pooling(layer: MultiScaleRoIAlign | MaxRoIAlign, name: str, features: dict[str, Tensor]) -> RoIPooling:
    """Strides follow from the features of a canvas, as torchvision infers them."""
    names = [name for name in features if name in layer.featmap_names]
    octaves = [round(math.log2(CANVAS[0] / features[name].shape[-2])) for name in names]
    used = 1 if len(names) == 1 else octaves[-1] - octaves[0] + 1  # levels of equal stride: only the first is chosen
    rule = LevelRule(
        canonical_size=number(layer.canonical_scale, f"{name}.canonical_scale"),
        canonical_level=whole(layer.canonical_level, f"{name}.canonical_level"),
        first_level=octaves[0],
        inner_epsilon=0.0,
        outer_epsilon=_LEVEL_EPSILON,
    )
    height, width = numbers(layer.output_size, f"{name}.output_size", 2)
    return RoIPooling(
        features=tuple(names[:used]),
        strides=tuple(2**octave for octave in octaves[:used]),
        level_rule=None if used == 1 else rule,
        output_size=(whole(height, f"{name}.output_size"), whole(width, f"{name}.output_size")),
        sampling_ratio=max(whole(layer.sampling_ratio, f"{name}.sampling_ratio"), 0),
        aligned=False,
        mode="max" if isinstance(layer, MaxRoIAlign) else "avg",
    )


def _coder(coder: detection_utils.BoxCoder, name: str) -> BoxCoder:
    wx, wy, ww, wh = numbers(coder.weights, f"{name}.weights", 4)
    clip = number(coder.bbox_xform_clip, f"{name}.bbox_xform_clip")
    return BoxCoder((wx, wy, ww, wh), "divide", max_log_scale=clip, min_log_scale=None)


def _three(values: Any, name: str) -> tuple[float, float, float]:
    first, second, third = numbers(values, name, 3)
    return first, second, third
