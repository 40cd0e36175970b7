from dataclasses import replace

import pytest

from maskrt.export.checkpoints import ConfigError
from maskrt.export.checkpoints.configs.detectron2 import read_detectron2_config, zoo_config
from maskrt.export.checkpoints.configs.fit import check_mmdet, fit_detectron2
from maskrt.export.checkpoints.configs.mmdet import parse_mmdet_config
from maskrt.export.checkpoints.facts import BackboneFacts, HeadFacts, NetworkFacts

MASK_RCNN = NetworkFacts(
    backbone=BackboneFacts((3, 4, 6, 3), False, 50, 64, 256, 1, 64, "BN", "backbone"),
    fpn_channels=256,
    fpn_levels=4,
    fpn_norm="",
    rpn=HeadFacts((256,), (), "", None),
    anchors=3,
    num_classes=80,
    cascade_stages=1,
    box_head=HeadFacts((), (1024, 1024), "", 7),
    class_agnostic_boxes=False,
    mask_head=HeadFacts((256,) * 4, (), "", None),
    class_agnostic_masks=False,
    mask_stages=1,
    keypoints=0,
)
"""Of the zoo's Mask R-CNN R50-FPN."""


@pytest.fixture
def partial(tmp_path):
    """A config that says nothing beyond detectron2's base, and what it is given."""

    def read(text=""):
        path = tmp_path / "config.yaml"
        path.write_text(f"_BASE_: Base-RCNN-FPN.yaml\n{text}")
        config = read_detectron2_config(path)
        return replace(config, notes=())

    return read


def test_a_config_that_fits_stays():
    config = zoo_config("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x")
    assert fit_detectron2(config, MASK_RCNN, "model_final.pkl") is config


def test_what_a_config_leaves_out_is_inferred(partial):
    facts = replace(MASK_RCNN, num_classes=3, backbone=replace(MASK_RCNN.backbone, depth=101, norm="GN"))
    config = fit_detectron2(partial(), facts, "model.pth")
    model = config.values["MODEL"]
    assert (model["MASK_ON"], model["RESNETS"]["DEPTH"], model["RESNETS"]["NORM"]) == (True, 101, "GN")
    assert model["ROI_HEADS"]["NUM_CLASSES"] == 3
    assert "MODEL.ROI_HEADS.NUM_CLASSES 3" in config.notes[0]
    assert "MODEL.MASK_ON True" in config.notes[0]
    assert partial().values["MODEL"]["MASK_ON"] is False


@pytest.mark.parametrize(
    ("text", "facts", "message"),
    [
        ("MODEL: {ROI_HEADS: {NUM_CLASSES: 2}}", {}, "says MODEL.ROI_HEADS.NUM_CLASSES 2, and the weights 80"),
        ("MODEL: {RESNETS: {DEPTH: 101}}", {}, "says MODEL.RESNETS.DEPTH 101, and the weights 50"),
        ("MODEL: {RESNETS: {NORM: GN}}", {}, "says MODEL.RESNETS.NORM 'GN', and the weights 'BN'"),
        ("MODEL: {MASK_ON: false}", {}, "says MODEL.MASK_ON False, and the weights True"),
        ("MODEL: {ROI_BOX_HEAD: {CLS_AGNOSTIC_BBOX_REG: true}}", {}, "CLS_AGNOSTIC_BBOX_REG True"),
        ("MODEL: {RPN: {CONV_DIMS: [-1, -1]}}", {}, r"says MODEL\.RPN\.CONV_DIMS \[-1, -1\], and the weights \[256\]"),
        ("", {"fpn_channels": 0}, "an FPN: the config has, the weights have none"),
        (
            "",
            {"cascade_stages": 3},
            r"a cascade: the config has none, the weights have it.*cascade_mask_rcnn_R_50_FPN_3x",
        ),
        ("MODEL: {ROI_HEADS: {NAME: Res5ROIHeads}}", {}, "C4"),
    ],
)
def test_a_config_of_another_model(partial, text, facts, message):
    with pytest.raises(ConfigError, match=rf"is the config of another model than model\.pth: .*{message}") as caught:
        fit_detectron2(partial(text), replace(MASK_RCNN, **facts), "model.pth")
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("norm", ["FrozenBN", "BN", "SyncBN", "naiveSyncBN"])
def test_batch_normalisations_are_one(partial, norm):
    config = partial(f"MODEL: {{RESNETS: {{NORM: {norm}}}}}")
    assert fit_detectron2(config, MASK_RCNN, "model.pth").values["MODEL"]["RESNETS"]["NORM"] == norm


@pytest.mark.parametrize("dims", ["[-1]", "[256]"])
def test_channels_that_stay_the_same(partial, dims):
    fit_detectron2(partial(f"MODEL: {{RPN: {{CONV_DIMS: {dims}}}}}"), MASK_RCNN, "model.pth")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "model = dict(backbone=dict(depth=101), roi_head=dict(mask_head=dict(a=1)))",
            "model.backbone.depth 101, and the weights 50",
        ),
        (
            "model = dict(roi_head=dict(bbox_head=dict(num_classes=3), mask_head=dict(a=1)))",
            "num_classes 3, and the weights 80",
        ),
        ("model = dict(roi_head=dict(bbox_head=dict(num_classes=80)))", "mask_head False, and the weights True"),
    ],
)
def test_an_mmdetection_config_of_another_model(text, message):
    with pytest.raises(ConfigError, match=message):
        check_mmdet(parse_mmdet_config(text, "config.py"), MASK_RCNN, "model.pth")


def test_an_mmdetection_config_that_fits():
    text = "model = dict(backbone=dict(depth=50), roi_head=dict(bbox_head=dict(num_classes=80), mask_head=dict(a=1)))"
    check_mmdet(parse_mmdet_config(text, "config.py"), MASK_RCNN, "model.pth")
    cascade = (
        "model = dict(roi_head=dict(bbox_head=[dict(num_classes=80, reg_class_agnostic=False)], mask_head=dict(a=1)))"
    )
    check_mmdet(parse_mmdet_config(cascade, "config.py"), replace(MASK_RCNN, cascade_stages=3), "model.pth")
