"""Configs of detectron2 that exist only in tests."""

from __future__ import annotations

import copy
from typing import Any

from maskrt.export.checkpoints.configs.detectron2_defaults import DEFAULTS
from maskrt.export.families.config import Section

FPN = {
    "MODEL.MASK_ON": True,
    "MODEL.BACKBONE.NAME": "build_resnet_fpn_backbone",
    "MODEL.RESNETS.OUT_FEATURES": ["res2", "res3", "res4", "res5"],
    "MODEL.RESNETS.STEM_OUT_CHANNELS": 8,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 16,
    "MODEL.RESNETS.WIDTH_PER_GROUP": 4,
    "MODEL.FPN.IN_FEATURES": ["res2", "res3", "res4", "res5"],
    "MODEL.FPN.OUT_CHANNELS": 32,
    "MODEL.ANCHOR_GENERATOR.SIZES": [[32], [64], [128], [256], [512]],
    "MODEL.RPN.IN_FEATURES": ["p2", "p3", "p4", "p5", "p6"],
    "MODEL.RPN.PRE_NMS_TOPK_TEST": 1000,
    "MODEL.ROI_HEADS.NAME": "StandardROIHeads",
    "MODEL.ROI_HEADS.NUM_CLASSES": 5,
    "MODEL.ROI_HEADS.IN_FEATURES": ["p2", "p3", "p4", "p5"],
    "MODEL.ROI_BOX_HEAD.NAME": "FastRCNNConvFCHead",
    "MODEL.ROI_BOX_HEAD.NUM_FC": 2,
    "MODEL.ROI_BOX_HEAD.FC_DIM": 24,
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 7,
    "MODEL.ROI_MASK_HEAD.NUM_CONV": 2,
    "MODEL.ROI_MASK_HEAD.CONV_DIM": 32,
}
"""What a small Mask R-CNN with an FPN says beyond the defaults."""

DC5 = {
    **{key: value for key, value in FPN.items() if "FPN" not in key},
    "MODEL.BACKBONE.NAME": "build_resnet_backbone",
    "MODEL.RESNETS.OUT_FEATURES": ["res5"],
    "MODEL.RESNETS.RES5_DILATION": 2,
    "MODEL.ANCHOR_GENERATOR.SIZES": [[32, 64, 128, 256, 512]],
    "MODEL.RPN.IN_FEATURES": ["res5"],
    "MODEL.ROI_HEADS.IN_FEATURES": ["res5"],
}
"""The same with a dilated last stage in the FPN's place."""

C4 = {
    **{key: value for key, value in DC5.items() if "RESNETS" in key or key.endswith(("MASK_ON", "NUM_CLASSES"))},
    "MODEL.RESNETS.OUT_FEATURES": ["res4"],
    "MODEL.RESNETS.RES5_DILATION": 1,
    "MODEL.ROI_MASK_HEAD.CONV_DIM": 32,
}
"""The same with the last stage in the RoI heads."""


CASCADE = {
    **FPN,
    "MODEL.ROI_HEADS.NAME": "CascadeROIHeads",
    "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": True,
}
"""The one with an FPN, with three box heads one after the other."""


def make_config(said: dict[str, Any], **changes: Any) -> Section:
    """A config with detectron2's defaults; `changes` are further values, by name with `__` for the dot."""
    values = copy.deepcopy(DEFAULTS)
    for name, value in {**said, **{key.replace("__", "."): value for key, value in changes.items()}}.items():
        *groups, key = name.split(".")
        group: dict[str, Any] = values
        for each in groups:
            group = group[each]
        group[key] = copy.deepcopy(value)
    return Section(values)
