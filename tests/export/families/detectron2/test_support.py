import pytest

from maskrt.export.checkpoints.configs.detectron2 import zoo_config
from maskrt.export.checkpoints.zoo.detectron2 import MODELS
from maskrt.export.errors import UnsupportedModelError
from maskrt.export.families.config import Section
from maskrt.export.families.detectron2.support import check_supported

from .configs import C4, CASCADE, DC5, FPN, make_config


@pytest.mark.parametrize("said", [FPN, DC5, C4, CASCADE])
def test_what_is_supported(said):
    check_supported(make_config(said))


@pytest.mark.parametrize("name", MODELS)
def test_the_zoo_is_supported(name):
    check_supported(Section.of(zoo_config(name)))


@pytest.mark.parametrize(
    ("entry", "value", "words"),
    [
        ("MODEL__META_ARCHITECTURE", "RetinaNet", "'GeneralizedRCNN'"),
        ("MODEL__META_ARCHITECTURE", "PanopticFPN", "'GeneralizedRCNN'"),
        ("MODEL__BACKBONE__NAME", "build_regnet_backbone", "'build_resnet_fpn_backbone', 'build_resnet_backbone'"),
        ("MODEL__PROPOSAL_GENERATOR__NAME", "RRPN", "'RPN'"),
        ("MODEL__ANCHOR_GENERATOR__NAME", "RotatedAnchorGenerator", "'DefaultAnchorGenerator'"),
        ("MODEL__RPN__HEAD_NAME", "MyHead", "'StandardRPNHead'"),
        ("MODEL__RESNETS__DEFORM_ON_PER_STAGE", [False, True, True, True], "no deformable convolutions"),
        ("MODEL__RESNETS__DEFORM_ON_PER_STAGE", None, "no deformable convolutions"),
        ("MODEL__RESNETS__RES5_DILATION", 2, "1 with a feature pyramid"),
        ("MODEL__ROI_HEADS__NAME", "PointRendROIHeads", "'StandardROIHeads', 'Res5ROIHeads', 'CascadeROIHeads'"),
        ("MODEL__ROI_BOX_HEAD__NAME", "MyBoxHead", "'FastRCNNConvFCHead'"),
        ("MODEL__ROI_MASK_HEAD__NAME", "CoarseMaskHead", "'MaskRCNNConvUpsampleHead'"),
        ("MODEL__LOAD_PROPOSALS", True, "the model's own RPN"),
    ],
)
def test_what_is_refused_by_name(entry, value, words):
    with pytest.raises(UnsupportedModelError, match=words) as caught:
        check_supported(make_config(FPN, **{entry: value}))
    assert entry.replace("__", ".") in str(caught.value)
    assert repr(value) in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("entry", "value", "words"),
    [
        ("MODEL__ROI_BOX_HEAD__CLS_AGNOSTIC_BBOX_REG", False, "True in a cascade"),
        ("MODEL__ROI_BOX_HEAD__NAME", "MyBoxHead", "'FastRCNNConvFCHead'"),
    ],
)
def test_what_a_cascade_needs(entry, value, words):
    with pytest.raises(UnsupportedModelError, match=words):
        check_supported(make_config(CASCADE, **{entry: value}))


def test_keypoints_have_no_place_in_a_model_without_a_pyramid():
    with pytest.raises(UnsupportedModelError, match="KEYPOINT_ON as True; expected False with Res5ROIHeads"):
        check_supported(make_config(C4, MODEL__KEYPOINT_ON=True))


def test_another_keypoint_head_is_refused_by_name():
    entries = {"MODEL__KEYPOINT_ON": True, "MODEL__ROI_KEYPOINT_HEAD__NAME": "MyHead"}
    with pytest.raises(UnsupportedModelError, match="'KRCNNConvDeconvUpsampleHead'"):
        check_supported(make_config(FPN, **entries))
