"""detectron2's model zoo: what each config of its repository says, and the file of its weights.

From `configs/` and `detectron2/model_zoo/model_zoo.py` at commit 02b5c4e2. The file's name ends in the first six digits
of its MD5 sum (MODEL_ZOO.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

Differences = Mapping[str, Any]
"""Values by dotted name."""

URL = "https://dl.fbaipublicfiles.com/detectron2"

_COMMON: Differences = {
    "MODEL.META_ARCHITECTURE": "GeneralizedRCNN",
    "DATASETS.TRAIN": ["coco_2017_train"],
    "VERSION": 2,
}
_HEADS: Differences = {
    "MODEL.ROI_HEADS.NAME": "StandardROIHeads",
    "MODEL.ROI_BOX_HEAD.NAME": "FastRCNNConvFCHead",
    "MODEL.ROI_BOX_HEAD.NUM_FC": 2,
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 7,
    "MODEL.ROI_MASK_HEAD.NAME": "MaskRCNNConvUpsampleHead",
    "MODEL.ROI_MASK_HEAD.NUM_CONV": 4,
    "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION": 14,
}
_FPN: Differences = {
    "MODEL.BACKBONE.NAME": "build_resnet_fpn_backbone",
    "MODEL.RESNETS.OUT_FEATURES": ["res2", "res3", "res4", "res5"],
    "MODEL.FPN.IN_FEATURES": ["res2", "res3", "res4", "res5"],
    "MODEL.ANCHOR_GENERATOR.SIZES": [[32], [64], [128], [256], [512]],
    "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": [[0.5, 1.0, 2.0]],
    "MODEL.RPN.IN_FEATURES": ["p2", "p3", "p4", "p5", "p6"],
    "MODEL.RPN.PRE_NMS_TOPK_TEST": 1000,
    "MODEL.RPN.POST_NMS_TOPK_TEST": 1000,
    "MODEL.ROI_HEADS.IN_FEATURES": ["p2", "p3", "p4", "p5"],
}
_C4: Differences = {
    "MODEL.RPN.PRE_NMS_TOPK_TEST": 6000,
    "MODEL.RPN.POST_NMS_TOPK_TEST": 1000,
    "MODEL.ROI_HEADS.NAME": "Res5ROIHeads",
}
_DC5: Differences = {
    "MODEL.RESNETS.OUT_FEATURES": ["res5"],
    "MODEL.RESNETS.RES5_DILATION": 2,
    "MODEL.RPN.IN_FEATURES": ["res5"],
    "MODEL.RPN.PRE_NMS_TOPK_TEST": 6000,
    "MODEL.RPN.POST_NMS_TOPK_TEST": 1000,
    "MODEL.ROI_HEADS.IN_FEATURES": ["res5"],
}
_KEYPOINTS: Differences = {
    "MODEL.KEYPOINT_ON": True,
    "MODEL.ROI_HEADS.NUM_CLASSES": 1,
    "DATASETS.TRAIN": ["keypoints_coco_2017_train"],
}

BASES: Mapping[str, tuple[Differences, ...]] = {
    "Base-RCNN-FPN": (_COMMON, _HEADS, _FPN),
    "Base-RCNN-C4": (_COMMON, _C4),
    "Base-RCNN-DilatedC5": (_COMMON, _HEADS, _DC5),
    "Base-Keypoint-RCNN-FPN": (_COMMON, _HEADS, _FPN, _KEYPOINTS),
}
"""What the base configs say; the name is the file's, without folder and `.yaml`."""


@dataclass(frozen=True)
class ZooModel:
    """A config of detectron2's repository.

    Attributes:
        base: a key of `BASES`.
        differences: what it says beyond; later ones win.
        file: of its weights, below the URL and the model's name; "" if none is published.
    """

    base: str
    differences: tuple[Differences, ...]
    file: str = ""


_MASKS: Differences = {"MODEL.MASK_ON": True}
_BOXES: Differences = {"MODEL.MASK_ON": False}
_R50: Differences = {"MODEL.RESNETS.DEPTH": 50}
_R101: Differences = {"MODEL.RESNETS.DEPTH": 101}
_X101: Differences = {
    "MODEL.PIXEL_STD": [57.375, 57.12, 58.395],
    "MODEL.RESNETS.STRIDE_IN_1X1": False,
    "MODEL.RESNETS.NUM_GROUPS": 32,
    "MODEL.RESNETS.WIDTH_PER_GROUP": 8,
    "MODEL.RESNETS.DEPTH": 101,
}
_CASCADE: Differences = {
    "MODEL.ROI_HEADS.NAME": "CascadeROIHeads",
    "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": True,
}
_ROI_ALIGN: Differences = {"POOLER_SAMPLING_RATIO": 2, "POOLER_TYPE": "ROIAlign"}
_DETECTRON1_BOXES: Differences = {f"MODEL.ROI_BOX_HEAD.{key}": value for key, value in _ROI_ALIGN.items()}
_DETECTRON1_MASKS: Differences = {f"MODEL.ROI_MASK_HEAD.{key}": value for key, value in _ROI_ALIGN.items()}
_DETECTRON1_KEYPOINTS: Differences = {f"MODEL.ROI_KEYPOINT_HEAD.{key}": value for key, value in _ROI_ALIGN.items()}
_CONV_HEADS: Differences = {
    "MODEL.ROI_BOX_HEAD.NAME": "FastRCNNConvFCHead",
    "MODEL.ROI_BOX_HEAD.NUM_CONV": 4,
    "MODEL.ROI_BOX_HEAD.NUM_FC": 1,
}
_STRIDE_IN_3X3: Differences = {"MODEL.RESNETS.STRIDE_IN_1X1": False}
_SCRATCH_STD: Differences = {"MODEL.PIXEL_STD": [57.375, 57.12, 58.395]}


def _norms(norm: str) -> Differences:
    return {f"MODEL.{part}.NORM": norm for part in ("RESNETS", "FPN", "ROI_BOX_HEAD", "ROI_MASK_HEAD")}


def _lvis(classes: int, dataset: str) -> Differences:
    return {
        "MODEL.ROI_HEADS.NUM_CLASSES": classes,
        "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.0001,
        "TEST.DETECTIONS_PER_IMAGE": 300,
        "DATASETS.TRAIN": [dataset],
    }


_LVIS_05 = _lvis(1230, "lvis_v0.5_train")
_LVIS_1 = _lvis(1203, "lvis_v1_train")
_CITYSCAPES: Differences = {
    "MODEL.ROI_HEADS.NUM_CLASSES": 8,
    "INPUT.MIN_SIZE_TEST": 1024,
    "INPUT.MAX_SIZE_TEST": 2048,
    "DATASETS.TRAIN": ["cityscapes_fine_instance_seg_train"],
}
_VOC: Differences = {
    "MODEL.ROI_HEADS.NUM_CLASSES": 20,
    "INPUT.MIN_SIZE_TEST": 800,
    "DATASETS.TRAIN": ["voc_2007_trainval", "voc_2012_trainval"],
}
# `new_baselines` are LazyConfigs: the same network in the words of the YAML configs.
_LARGE_SCALE_JITTER: tuple[Differences, ...] = (
    _MASKS,
    _norms("SyncBN"),
    _CONV_HEADS,
    {"MODEL.RPN.CONV_DIMS": [-1, -1]},
)

_F, _C, _D, _K = "Base-RCNN-FPN", "Base-RCNN-C4", "Base-RCNN-DilatedC5", "Base-Keypoint-RCNN-FPN"
_GN = (_MASKS, _R50, _norms("GN"), _CONV_HEADS, _STRIDE_IN_3X3)
_SYNC = (_MASKS, _R50, _norms("SyncBN"), _CONV_HEADS)

MODELS: Mapping[str, ZooModel] = {
    "COCO-Detection/faster_rcnn_R_50_C4_1x": ZooModel(_C, (_BOXES, _R50), "137257644/model_final_721ade.pkl"),
    "COCO-Detection/faster_rcnn_R_50_DC5_1x": ZooModel(_D, (_BOXES, _R50), "137847829/model_final_51d356.pkl"),
    "COCO-Detection/faster_rcnn_R_50_FPN_1x": ZooModel(_F, (_BOXES, _R50), "137257794/model_final_b275ba.pkl"),
    "COCO-Detection/faster_rcnn_R_50_C4_3x": ZooModel(_C, (_BOXES, _R50), "137849393/model_final_f97cb7.pkl"),
    "COCO-Detection/faster_rcnn_R_50_DC5_3x": ZooModel(_D, (_BOXES, _R50), "137849425/model_final_68d202.pkl"),
    "COCO-Detection/faster_rcnn_R_50_FPN_3x": ZooModel(_F, (_BOXES, _R50), "137849458/model_final_280758.pkl"),
    "COCO-Detection/faster_rcnn_R_101_C4_3x": ZooModel(_C, (_BOXES, _R101), "138204752/model_final_298dad.pkl"),
    "COCO-Detection/faster_rcnn_R_101_DC5_3x": ZooModel(_D, (_BOXES, _R101), "138204841/model_final_3e0943.pkl"),
    "COCO-Detection/faster_rcnn_R_101_FPN_3x": ZooModel(_F, (_BOXES, _R101), "137851257/model_final_f6e8b1.pkl"),
    "COCO-Detection/faster_rcnn_X_101_32x8d_FPN_3x": ZooModel(_F, (_BOXES, _X101), "139173657/model_final_68b088.pkl"),
    "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x": ZooModel(_C, (_MASKS, _R50), "137259246/model_final_9243eb.pkl"),
    "COCO-InstanceSegmentation/mask_rcnn_R_50_DC5_1x": ZooModel(_D, (_MASKS, _R50), "137260150/model_final_4f86c3.pkl"),
    "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x": ZooModel(_F, (_MASKS, _R50), "137260431/model_final_a54504.pkl"),
    "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x_giou": ZooModel(_F, (_MASKS, _R50)),
    "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_3x": ZooModel(_C, (_MASKS, _R50), "137849525/model_final_4ce675.pkl"),
    "COCO-InstanceSegmentation/mask_rcnn_R_50_DC5_3x": ZooModel(_D, (_MASKS, _R50), "137849551/model_final_84107b.pkl"),
    "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x": ZooModel(_F, (_MASKS, _R50), "137849600/model_final_f10217.pkl"),
    "COCO-InstanceSegmentation/mask_rcnn_R_101_C4_3x": ZooModel(
        _C, (_MASKS, _R101), "138363239/model_final_a2914c.pkl"
    ),
    "COCO-InstanceSegmentation/mask_rcnn_R_101_DC5_3x": ZooModel(
        _D, (_MASKS, _R101), "138363294/model_final_0464b7.pkl"
    ),
    "COCO-InstanceSegmentation/mask_rcnn_R_101_FPN_3x": ZooModel(
        _F, (_MASKS, _R101), "138205316/model_final_a3ec72.pkl"
    ),
    "COCO-InstanceSegmentation/mask_rcnn_X_101_32x8d_FPN_3x": ZooModel(
        _F, (_MASKS, _X101), "139653917/model_final_2d9806.pkl"
    ),
    "new_baselines/mask_rcnn_R_50_FPN_100ep_LSJ": ZooModel(
        _F, (_R50, *_LARGE_SCALE_JITTER), "42047764/model_final_bb69de.pkl"
    ),
    "new_baselines/mask_rcnn_R_50_FPN_200ep_LSJ": ZooModel(
        _F, (_R50, *_LARGE_SCALE_JITTER), "42047638/model_final_89a8d3.pkl"
    ),
    "new_baselines/mask_rcnn_R_50_FPN_400ep_LSJ": ZooModel(
        _F, (_R50, *_LARGE_SCALE_JITTER), "42019571/model_final_14d201.pkl"
    ),
    "new_baselines/mask_rcnn_R_101_FPN_100ep_LSJ": ZooModel(
        _F, (_R101, *_LARGE_SCALE_JITTER), "42025812/model_final_4f7b58.pkl"
    ),
    "new_baselines/mask_rcnn_R_101_FPN_200ep_LSJ": ZooModel(
        _F, (_R101, *_LARGE_SCALE_JITTER), "42131867/model_final_0bb7ae.pkl"
    ),
    "new_baselines/mask_rcnn_R_101_FPN_400ep_LSJ": ZooModel(
        _F, (_R101, *_LARGE_SCALE_JITTER), "42073830/model_final_f96b26.pkl"
    ),
    "COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x": ZooModel(_K, (_R50,), "137261548/model_final_04e291.pkl"),
    "COCO-Keypoints/keypoint_rcnn_R_50_FPN_3x": ZooModel(_K, (_R50,), "137849621/model_final_a6e10b.pkl"),
    "COCO-Keypoints/keypoint_rcnn_R_101_FPN_3x": ZooModel(_K, (_R101,), "138363331/model_final_997cc7.pkl"),
    "COCO-Keypoints/keypoint_rcnn_X_101_32x8d_FPN_3x": ZooModel(_K, (_X101,), "139686956/model_final_5ad38f.pkl"),
    "LVISv0.5-InstanceSegmentation/mask_rcnn_R_50_FPN_1x": ZooModel(
        _F, (_MASKS, _R50, _LVIS_05), "144219072/model_final_571f7c.pkl"
    ),
    "LVISv0.5-InstanceSegmentation/mask_rcnn_R_101_FPN_1x": ZooModel(
        _F, (_MASKS, _R101, _LVIS_05), "144219035/model_final_824ab5.pkl"
    ),
    "LVISv0.5-InstanceSegmentation/mask_rcnn_X_101_32x8d_FPN_1x": ZooModel(
        _F, (_MASKS, _X101, _LVIS_05), "144219108/model_final_5e3439.pkl"
    ),
    "LVISv1-InstanceSegmentation/mask_rcnn_R_50_FPN_1x": ZooModel(_F, (_MASKS, _R50, _LVIS_1)),
    "LVISv1-InstanceSegmentation/mask_rcnn_R_101_FPN_1x": ZooModel(_F, (_MASKS, _R101, _LVIS_1)),
    "LVISv1-InstanceSegmentation/mask_rcnn_X_101_32x8d_FPN_1x": ZooModel(_F, (_MASKS, _X101, _LVIS_1)),
    "Cityscapes/mask_rcnn_R_50_FPN": ZooModel(_F, (_MASKS, _CITYSCAPES), "142423278/model_final_af9cf5.pkl"),
    "PascalVOC-Detection/faster_rcnn_R_50_C4": ZooModel(_C, (_BOXES, _R50, _VOC), "142202221/model_final_b1acc2.pkl"),
    "PascalVOC-Detection/faster_rcnn_R_50_FPN": ZooModel(_F, (_BOXES, _R50, _VOC)),
    "Misc/cascade_mask_rcnn_R_50_FPN_1x": ZooModel(_F, (_MASKS, _R50, _CASCADE), "138602847/model_final_e9d89b.pkl"),
    "Misc/cascade_mask_rcnn_R_50_FPN_3x": ZooModel(_F, (_MASKS, _R50, _CASCADE), "144998488/model_final_480dd8.pkl"),
    "Misc/mask_rcnn_R_50_FPN_1x_cls_agnostic": ZooModel(
        _F,
        (
            _MASKS,
            _R50,
            {"MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": True, "MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK": True},
        ),
    ),
    "Misc/mask_rcnn_R_50_FPN_3x_syncbn": ZooModel(_F, _SYNC, "169527823/model_final_3b3c51.pkl"),
    "Misc/mask_rcnn_R_50_FPN_3x_gn": ZooModel(_F, _GN, "138602888/model_final_dc5d9e.pkl"),
    "Misc/scratch_mask_rcnn_R_50_FPN_3x_gn": ZooModel(_F, _GN, "138602908/model_final_01ca85.pkl"),
    "Misc/scratch_mask_rcnn_R_50_FPN_9x_gn": ZooModel(_F, (*_GN, _SCRATCH_STD), "183808979/model_final_da7b4c.pkl"),
    "Misc/scratch_mask_rcnn_R_50_FPN_9x_syncbn": ZooModel(
        _F, (*_SYNC, _SCRATCH_STD, _STRIDE_IN_3X3), "184226666/model_final_5ce33e.pkl"
    ),
    "Detectron1-Comparisons/faster_rcnn_R_50_FPN_noaug_1x": ZooModel(
        _F, (_BOXES, _R50, _DETECTRON1_BOXES), "137781054/model_final_7ab50c.pkl"
    ),
    "Detectron1-Comparisons/mask_rcnn_R_50_FPN_noaug_1x": ZooModel(
        _F, (_MASKS, _R50, _DETECTRON1_BOXES, _DETECTRON1_MASKS), "137781281/model_final_62ca52.pkl"
    ),
    "Detectron1-Comparisons/keypoint_rcnn_R_50_FPN_1x": ZooModel(
        _F, (_R50, _KEYPOINTS, _DETECTRON1_BOXES, _DETECTRON1_KEYPOINTS), "137781195/model_final_cce136.pkl"
    ),
}
"""The Faster, Mask, Keypoint and Cascade R-CNN configs of its repository, by their path without `.yaml`."""

_DEFORMABLE = "has deformable convolutions"
OTHER_MODELS: Mapping[str, str] = {
    "COCO-Detection/retinanet": "is a RetinaNet",
    "COCO-Detection/rpn": "is a proposal network alone",
    "COCO-Detection/fast_rcnn": "takes its proposals from a file",
    "COCO-Detection/fcos": "is an FCOS",
    "COCO-PanopticSegmentation/": "is a panoptic FPN",
    "new_baselines/mask_rcnn_regnet": "has a RegNet as its backbone",
    "Misc/mask_rcnn_R_50_FPN_1x_dconv_c3-c5": _DEFORMABLE,
    "Misc/mask_rcnn_R_50_FPN_3x_dconv_c3-c5": _DEFORMABLE,
    "Misc/cascade_mask_rcnn_X_152_32x8d_FPN_IN5k_gn_dconv": _DEFORMABLE,
    "Misc/panoptic_fpn_R_101_dconv_cascade_gn_3x": "is a panoptic FPN",
    "Misc/semantic": "is a semantic segmentation model",
}
"""Beginnings of the names of its other models, and why they cannot be exported."""


def find_base(name: str) -> ZooModel | None:
    """Return the config of detectron2 that a `_BASE_` means, going by the end of its path; None: none, or several."""
    parts = PurePosixPath(name.replace("\\", "/").removesuffix(".yaml").removesuffix(".yml")).parts
    if not parts:
        return None
    if parts[-1] in BASES:
        return ZooModel(parts[-1], ())
    if len(parts) > 1 and "/".join(parts[-2:]) in MODELS:
        return MODELS["/".join(parts[-2:])]
    matches = [model for each, model in MODELS.items() if each.rpartition("/")[2] == parts[-1]]
    return matches[0] if len(matches) == 1 else None
