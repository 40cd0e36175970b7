"""Configs of mmdetection that exist only in tests."""

from __future__ import annotations

import copy
from typing import Any

from maskrt.export.families.config import Section

STDS = {"type": "DeltaXYWHBBoxCoder", "target_means": [0.0] * 4, "target_stds": [0.1, 0.1, 0.2, 0.2]}
EXTRACTOR = {
    "type": "SingleRoIExtractor",
    "roi_layer": {"type": "RoIAlign", "output_size": 7, "sampling_ratio": 0},
    "out_channels": 32,
    "featmap_strides": [4, 8, 16, 32],
}

CONFIG: dict[str, Any] = {
    "model": {
        "type": "MaskRCNN",
        "data_preprocessor": {
            "type": "DetDataPreprocessor",
            "mean": [123.675, 116.28, 103.53],
            "std": [58.395, 57.12, 57.375],
            "bgr_to_rgb": True,
            "pad_mask": True,
            "pad_size_divisor": 32,
        },
        "backbone": {
            "type": "ResNet",
            "depth": 50,
            "num_stages": 4,
            "out_indices": [0, 1, 2, 3],
            "base_channels": 4,
            "stem_channels": 8,
            "frozen_stages": 1,
            "norm_cfg": {"type": "BN", "requires_grad": True},
            "norm_eval": True,
            "style": "pytorch",
        },
        "neck": {"type": "FPN", "in_channels": [16, 32, 64, 128], "out_channels": 32, "num_outs": 5},
        "rpn_head": {
            "type": "RPNHead",
            "in_channels": 32,
            "feat_channels": 32,
            "anchor_generator": {
                "type": "AnchorGenerator",
                "scales": [8],
                "ratios": [0.5, 1.0, 2.0],
                "strides": [4, 8, 16, 32, 64],
            },
            "bbox_coder": {"type": "DeltaXYWHBBoxCoder", "target_means": [0.0] * 4, "target_stds": [1.0] * 4},
            "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": True, "loss_weight": 1.0},
            "loss_bbox": {"type": "L1Loss", "loss_weight": 1.0},
        },
        "roi_head": {
            "type": "StandardRoIHead",
            "bbox_roi_extractor": EXTRACTOR,
            "bbox_head": {
                "type": "Shared2FCBBoxHead",
                "in_channels": 32,
                "fc_out_channels": 24,
                "roi_feat_size": 7,
                "num_classes": 5,
                "bbox_coder": STDS,
                "reg_class_agnostic": False,
                "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0},
            },
            "mask_roi_extractor": {**EXTRACTOR, "roi_layer": {**EXTRACTOR["roi_layer"], "output_size": 14}},
            "mask_head": {
                "type": "FCNMaskHead",
                "num_convs": 2,
                "in_channels": 32,
                "conv_out_channels": 32,
                "num_classes": 5,
            },
        },
        "train_cfg": {"rpn": {}},
        "test_cfg": {
            "rpn": {
                "nms_pre": 1000,
                "max_per_img": 900,
                "nms": {"type": "nms", "iou_threshold": 0.7},
                "min_bbox_size": 0,
            },
            "rcnn": {
                "score_thr": 0.05,
                "nms": {"type": "nms", "iou_threshold": 0.5},
                "max_per_img": 100,
                "mask_thr_binary": 0.5,
            },
        },
    },
    "test_pipeline": [
        {"type": "LoadImageFromFile", "backend_args": None},
        {"type": "Resize", "scale": [1333, 800], "keep_ratio": True},
        {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True},
        {"type": "PackDetInputs", "meta_keys": ["img_id"]},
    ],
}
"""A small Mask R-CNN with an FPN, as `cfg.dump()` of mmdetection 3 writes it."""

REMOVED: Any = object()
"""A change that takes an entry out."""


def make_config(changes: dict[str, Any] | None = None) -> Section:
    """The config with other values; `changes` are by dotted name, with numbers for places in lists."""
    values = copy.deepcopy(CONFIG)
    for name, value in (changes or {}).items():
        *groups, key = name.split(".")
        group: Any = values
        for each in groups:
            group = group[int(each) if isinstance(group, list) else each]
        if value is REMOVED:
            del group[key]
        else:
            group[int(key) if isinstance(group, list) else key] = copy.deepcopy(value)
    return Section(values)


DC5 = {
    "model.backbone.strides": [1, 2, 2, 1],
    "model.backbone.dilations": [1, 1, 1, 2],
    "model.backbone.out_indices": [3],
    "model.neck": None,
    "model.rpn_head.in_channels": 128,
    "model.rpn_head.anchor_generator.scales": [2, 4, 8, 16, 32],
    "model.rpn_head.anchor_generator.strides": [16],
    "model.roi_head.bbox_roi_extractor.featmap_strides": [16],
    "model.roi_head.mask_roi_extractor.featmap_strides": [16],
    "model.roi_head.bbox_head.in_channels": 128,
    "model.roi_head.mask_head.in_channels": 128,
}
"""Changes: a dilated last stage in the FPN's place."""

C4 = {
    **DC5,
    "model.backbone.num_stages": 3,
    "model.backbone.strides": [1, 2, 2],
    "model.backbone.dilations": [1, 1, 1],
    "model.backbone.out_indices": [2],
    "model.backbone.base_channels": 64,
    "model.rpn_head.in_channels": 1024,
    "model.roi_head.shared_head": {"type": "ResLayer", "depth": 50, "stage": 3, "stride": 2, "style": "caffe"},
    "model.roi_head.bbox_roi_extractor.roi_layer.output_size": 14,
    "model.roi_head.mask_roi_extractor": None,
    "model.roi_head.bbox_head": {
        "type": "BBoxHead",
        "with_avg_pool": True,
        "in_channels": 2048,
        "roi_feat_size": 7,
        "num_classes": 5,
        "bbox_coder": STDS,
    },
    "model.roi_head.mask_head.in_channels": 2048,
    "model.roi_head.mask_head.num_convs": 0,
}
"""Changes: the last stage in the RoI heads."""


def cascade(stages: int = 3) -> dict[str, Any]:
    """Changes: several box heads one after the other, and as many mask heads."""
    box = {**CONFIG["model"]["roi_head"]["bbox_head"], "reg_class_agnostic": True}
    coders = [{**STDS, "target_stds": [std / stage for std in STDS["target_stds"]]} for stage in range(1, stages + 1)]
    return {
        "model.type": "CascadeRCNN",
        "model.roi_head.type": "CascadeRoIHead",
        "model.roi_head.num_stages": stages,
        "model.roi_head.stage_loss_weights": [1.0] * stages,
        "model.roi_head.bbox_head": [{**box, "bbox_coder": coder} for coder in coders],
    }


SECOND = {
    "model.data_preprocessor": REMOVED,
    "test_pipeline": [
        {"type": "LoadImageFromFile"},
        {
            "type": "MultiScaleFlipAug",
            "img_scale": [1333, 800],
            "flip": False,
            "transforms": [
                {"type": "Resize", "keep_ratio": True},
                {"type": "RandomFlip"},
                {"type": "Normalize", "mean": [103.53, 116.28, 123.675], "std": [1.0] * 3, "to_rgb": False},
                {"type": "Pad", "size_divisor": 32},
                {"type": "ImageToTensor", "keys": ["img"]},
                {"type": "Collect", "keys": ["img"]},
            ],
        },
    ],
}
"""Changes: the pipeline as mmdetection 2 states it."""
