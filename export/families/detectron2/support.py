"""Which detectron2 configs can be exported; anything else is refused by its name before anything is built."""

from __future__ import annotations

from maskrt.export.families.config import Section

STANDARD_HEADS, C4_HEADS, CASCADE_HEADS = "StandardROIHeads", "Res5ROIHeads", "CascadeROIHeads"
FPN_BACKBONE, RESNET_BACKBONE = "build_resnet_fpn_backbone", "build_resnet_backbone"

_PARTS = (
    ("META_ARCHITECTURE", "GeneralizedRCNN"),
    ("PROPOSAL_GENERATOR.NAME", "RPN"),
    ("ANCHOR_GENERATOR.NAME", "DefaultAnchorGenerator"),
    ("RPN.HEAD_NAME", "StandardRPNHead"),
)
"""Below `MODEL`: parts that can only be one thing."""


def check_supported(config: Section) -> None:
    """Check the parts that a config chooses; their settings are checked where they are taken.

    Raises:
        UnsupportedModelError: a part has other semantics; the message names it, and what is expected there.
    """
    model = config.section("MODEL")
    for path, expected in _PARTS:
        section, _, key = path.rpartition(".")
        (model.section(section) if section else model).one_of(key, (expected,))
    backbone = model.section("BACKBONE").one_of("NAME", (FPN_BACKBONE, RESNET_BACKBONE))
    deformable = model.section("RESNETS").get("DEFORM_ON_PER_STAGE")
    if not isinstance(deformable, list | tuple) or any(deformable):
        raise model.section("RESNETS").refusal("DEFORM_ON_PER_STAGE", "no deformable convolutions, all False")
    if backbone == FPN_BACKBONE and model.section("RESNETS").count("RES5_DILATION") != 1:
        raise model.section("RESNETS").refusal("RES5_DILATION", "1 with a feature pyramid")
    _check_heads(model)
    if model.flag("LOAD_PROPOSALS"):
        raise model.refusal("LOAD_PROPOSALS", "False, proposals of the model's own RPN")


def _check_heads(model: Section) -> None:
    heads = model.section("ROI_HEADS")
    name, box = heads.one_of("NAME", (STANDARD_HEADS, C4_HEADS, CASCADE_HEADS)), model.section("ROI_BOX_HEAD")
    if name != C4_HEADS:
        box.one_of("NAME", ("FastRCNNConvFCHead",))
    if name == CASCADE_HEADS and not box.flag("CLS_AGNOSTIC_BBOX_REG"):
        raise box.refusal("CLS_AGNOSTIC_BBOX_REG", "True in a cascade, whose stages hand on one box for all classes")
    if model.flag("MASK_ON"):
        model.section("ROI_MASK_HEAD").one_of("NAME", ("MaskRCNNConvUpsampleHead",))
    if model.flag("KEYPOINT_ON"):
        if heads.get("NAME") == C4_HEADS:
            raise model.refusal("KEYPOINT_ON", f"False with {C4_HEADS}, which have no place for keypoints")
        model.section("ROI_KEYPOINT_HEAD").one_of("NAME", ("KRCNNConvDeconvUpsampleHead",))
