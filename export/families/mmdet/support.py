"""Which mmdetection configs can be exported; anything else is refused by its name before anything is built.

A config gives arguments to mmdetection's classes. Of each class, the arguments are listed here that are followed, that
mean nothing in inference, and that must have one value; an argument that is not listed is refused, since nothing is
known of what it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from maskrt.export.families.config import Section

DETECTORS = ("MaskRCNN", "FasterRCNN", "CascadeRCNN", "TwoStageDetector")

SHARED_LAYERS = {"Shared2FCBBoxHead": (0, 2), "Shared4Conv1FCBBoxHead": (4, 1), "BBoxHead": (0, 0)}
"""Convolutions and linear layers of the box heads that have a fixed number of them."""


@dataclass(frozen=True)
class _Class:
    """Arguments of a class.

    Attributes:
        followed: arguments that the spec or the network heeds.
        idle: arguments without meaning in inference.
        fixed: arguments that must have this value.
    """

    followed: str
    idle: str = ""
    fixed: Mapping[str, Any] = field(default_factory=dict)


_RESNET = _Class(
    followed="depth num_stages strides dilations out_indices style norm_cfg base_channels stem_channels",
    idle="frozen_stages norm_eval with_cp zero_init_residual init_cfg pretrained",
    fixed={"in_channels": 3, "deep_stem": False, "avg_down": False, "conv_cfg": None, "dcn": None, "plugins": None}
    | {"stage_with_dcn": (False, False, False, False)},
)

_CONV_FC = _Class(
    followed="in_channels roi_feat_size num_classes conv_out_channels fc_out_channels num_shared_convs num_shared_fcs "
    "reg_class_agnostic with_avg_pool norm_cfg bbox_coder loss_cls",
    idle="loss_bbox init_cfg reg_decoded_bbox",
    fixed={"num_cls_convs": 0, "num_cls_fcs": 0, "num_reg_convs": 0, "num_reg_fcs": 0, "conv_cfg": None}
    | {"with_cls": True, "with_reg": True, "predict_box_type": "hbox"}
    | {"reg_predictor_cfg": {"type": "Linear"}, "cls_predictor_cfg": {"type": "Linear"}},
)

_CLASSES = {
    "ResNet": _RESNET,
    "ResNeXt": _Class(f"{_RESNET.followed} groups base_width", _RESNET.idle, _RESNET.fixed),
    "FPN": _Class(
        followed="in_channels out_channels num_outs norm_cfg no_norm_on_lateral",
        idle="init_cfg extra_convs_on_inputs",
        fixed={"start_level": 0, "end_level": -1, "add_extra_convs": False, "relu_before_extra_convs": False}
        | {"conv_cfg": None, "act_cfg": None, "upsample_cfg": {"mode": "nearest"}},
    ),
    "RPNHead": _Class(
        followed="in_channels feat_channels num_convs anchor_generator bbox_coder loss_cls",
        idle="loss_bbox init_cfg reg_decoded_bbox train_cfg test_cfg",
        fixed={"num_classes": 1},
    ),
    "AnchorGenerator": _Class(
        followed="strides ratios scales base_sizes center_offset scale_major", fixed={"centers": None}
    ),
    "DeltaXYWHBBoxCoder": _Class(
        followed="target_means target_stds",
        idle="ctr_clamp use_box_type",
        fixed={"clip_border": True, "add_ctr_clamp": False},
    ),
    "StandardRoIHead": _Class(
        followed="bbox_head bbox_roi_extractor mask_head mask_roi_extractor shared_head",
        idle="train_cfg test_cfg init_cfg pretrained",
    ),
    "CascadeRoIHead": _Class(
        followed="num_stages bbox_head bbox_roi_extractor mask_head mask_roi_extractor",
        idle="train_cfg test_cfg init_cfg pretrained stage_loss_weights",
        fixed={"shared_head": None},
    ),
    "SingleRoIExtractor": _Class(followed="roi_layer featmap_strides finest_scale", idle="out_channels init_cfg"),
    "RoIAlign": _Class(
        followed="output_size sampling_ratio aligned", idle="use_torchvision", fixed={"pool_mode": "avg"}
    ),
    **dict.fromkeys((*SHARED_LAYERS, "ConvFCBBoxHead"), _CONV_FC),
    "FCNMaskHead": _Class(
        followed="num_convs in_channels conv_out_channels num_classes class_agnostic norm_cfg",
        idle="roi_feat_size loss_mask init_cfg",
        fixed={"conv_kernel_size": 3, "upsample_cfg": {"type": "deconv", "scale_factor": 2}, "conv_cfg": None}
        | {"predictor_cfg": {"type": "Conv"}},
    ),
    "ResLayer": _Class(
        followed="depth stage stride dilation style norm_cfg", idle="norm_eval with_cp init_cfg", fixed={"dcn": None}
    ),
    "test_cfg.rpn": _Class(
        followed="nms_pre nms_post max_per_img max_num nms nms_thr min_bbox_size", fixed={"nms_across_levels": False}
    ),
    "test_cfg.rcnn": _Class(followed="score_thr nms max_per_img mask_thr_binary"),
    "nms": _Class(followed="iou_threshold", idle="split_thr", fixed={"class_agnostic": False}),
    "DetDataPreprocessor": _Class(
        followed="mean std bgr_to_rgb pad_size_divisor",
        idle="pad_mask mask_pad_value pad_seg seg_pad_value boxtype2tensor batch_augments non_blocking",
        fixed={"rgb_to_bgr": False, "pad_value": 0},
    ),
    "LoadImageFromFile": _Class(
        followed="",
        idle="backend_args file_client_args imdecode_backend ignore_empty",
        fixed={"to_float32": False, "color_type": "color"},
    ),
    "Resize": _Class(
        followed="scale img_scale keep_ratio",
        idle="clip_object_border bbox_clip_border",
        fixed={"scale_factor": None, "interpolation": "bilinear", "backend": "cv2", "multiscale_mode": "range"}
        | {"ratio_range": None, "override": False},
    ),
    "MultiScaleFlipAug": _Class(
        followed="img_scale transforms",
        idle="flip_direction",
        fixed={"flip": False, "scale_factor": None},
    ),
    "Normalize": _Class(followed="mean std to_rgb"),
    "Pad": _Class(followed="size_divisor", fixed={"size": None, "pad_val": 0, "pad_to_square": False}),
}
"""By the name that a config gives as `type`, or by where it is."""

_CASCADE_HEADS = "CascadeRoIHead"
_SCORE_LOSSES = ("CrossEntropyLoss", "FocalLoss")


def type_of(section: Section) -> str:
    """Return the name of a section's class, without a scope in front ("mmdet.ResNet"); "" if it is no name."""
    value = section.get("type", None)
    return value.rpartition(".")[2] if isinstance(value, str) else ""


def is_cascade(heads: Section) -> bool:
    """Whether a `roi_head` has stages."""
    return type_of(heads) == _CASCADE_HEADS


def stages(heads: Section, key: str) -> list[Section]:
    """Return what a `roi_head` says of each stage: a list, or what holds for all of them; without stages, the one.

    Raises:
        UnsupportedModelError: it is absent, no mapping, or there are not as many as stages.
    """
    if not is_cascade(heads):
        return [heads.section(key)]
    count, value = heads.count("num_stages", most=16), heads.get(key, None)
    if not isinstance(value, list | tuple):
        return [heads.section(key)] * count
    if len(value) != count or not all(isinstance(each, dict) for each in value):
        raise heads.refusal(key, f"one for each of the {count} stages, or one for all")
    return [heads.item(key, number, each) for number, each in enumerate(value)]


def check_class(section: Section, choices: tuple[str, ...]) -> str:
    """Check that a section is of a class that can be expressed, and each of its arguments.

    Args:
        section: with the class as its `type`.
        choices: of `_CLASSES`.

    Returns:
        The class.

    Raises:
        UnsupportedModelError: it is of another class, or an argument has another effect than can be expressed.
    """
    name = type_of(section)
    if name not in choices:
        raise section.refusal("type", " or ".join(map(repr, choices)))
    check_entries(section, name)
    return name


def check_entries(section: Section, name: str) -> None:
    """Check the entries of a section by name.

    Args:
        section: any.
        name: of its class, of `_CLASSES`.

    Raises:
        UnsupportedModelError: an entry has another effect than can be expressed.
    """
    known = _CLASSES[name]
    free = {"type", *known.followed.split(), *known.idle.split()}
    for key, value in section.values.items():
        if key in known.fixed:
            expected = known.fixed[key]
            if (tuple(value) if isinstance(value, list) else value) != expected:
                raise section.refusal(key, repr(expected))
        elif key not in free:
            raise section.refusal(key, f"no such entry for {name}; its effect is not known")


def check_supported(config: Section) -> None:
    """Check the parts that a config chooses; their settings are checked where they are taken.

    Raises:
        UnsupportedModelError: a part has other semantics; the message names it, and what is expected there.
    """
    model = config.section("model")
    if type_of(model) not in DETECTORS:
        raise model.refusal("type", " or ".join(map(repr, DETECTORS)))
    check_class(model.section("backbone"), ("ResNet", "ResNeXt"))
    if model.get("neck", None) is not None:
        check_class(model.section("neck"), ("FPN",))
    rpn, heads = model.section("rpn_head"), model.section("roi_head")
    check_class(rpn, ("RPNHead",))
    check_class(rpn.section("anchor_generator"), ("AnchorGenerator",))
    check_class(rpn.section("bbox_coder"), ("DeltaXYWHBBoxCoder",))
    check_class(heads, ("StandardRoIHead", _CASCADE_HEADS))
    _check_heads(heads)
    limits = model.section("test_cfg")
    for key in ("rpn", "rcnn"):
        check_entries(limits.section(key), f"test_cfg.{key}")


def _check_heads(heads: Section) -> None:
    extractors = ["bbox_roi_extractor"]
    for box in stages(heads, "bbox_head"):
        check_class(box, (*SHARED_LAYERS, "ConvFCBBoxHead"))
        check_class(box.section("bbox_coder"), ("DeltaXYWHBBoxCoder",))
        if "loss_cls" in box.values and type_of(box.section("loss_cls")) not in _SCORE_LOSSES:
            # Others bring an activation of their own.
            expected = f"{' or '.join(map(repr, _SCORE_LOSSES))}, for scores by softmax"
            raise box.section("loss_cls").refusal("type", expected)
    if heads.get("shared_head", None) is not None:
        check_class(heads.section("shared_head"), ("ResLayer",))
    if heads.get("mask_head", None) is not None:
        for mask in stages(heads, "mask_head"):
            check_class(mask, ("FCNMaskHead",))
        if heads.get("mask_roi_extractor", None) is not None:
            extractors.append("mask_roi_extractor")
    for name in extractors:
        for extractor in stages(heads, name):
            check_class(extractor, ("SingleRoIExtractor",))
            check_class(extractor.section("roi_layer"), ("RoIAlign",))
