import re

import pytest

from maskrt.export.checkpoints.facts import FactsError, detectron2_facts, mmdet_facts

BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def norms(name, channels, norm):
    parts = ("weight", "bias", "running_mean", "running_var") if norm == "BN" else ("weight", "bias")
    return {f"{name}.{part}": (channels,) for part in parts} if norm else {}


def resnet(stage, conv_norm, depth, width, groups=1, norm="BN", stages=range(4)):
    """Shapes of a ResNet's stages; `stage(number)` and `conv_norm(conv)` name things as a framework does."""
    shapes, basic = {}, depth < 50
    expansion = 1 if basic else 4
    for number in stages:
        channels = width * 2**number
        for block in range(BLOCKS[depth][number]):
            root = f"{stage(number)}.{block}."
            layers = (
                [(channels, channels, 3)] * 2
                if basic
                else [(channels, 7, 1), (channels, channels // groups, 3), (channels * expansion, channels, 1)]
            )
            for conv, (outputs, inputs, size) in enumerate(layers, 1):
                shapes[f"{root}conv{conv}.weight"] = (outputs, inputs, size, size)
                shapes |= norms(root + conv_norm(conv), outputs, norm)
    return shapes


def detectron2(
    depth=50,
    groups=1,
    norm="BN",
    fpn_norm="",
    classes=5,
    rpn_convs=1,
    box_convs=0,
    masks=True,
    agnostic=False,
    stages=1,
    keypoints=0,
    c4=False,
):
    root = "backbone." if c4 else "backbone.bottom_up."
    shapes = {f"{root}stem.conv1.weight": (16, 3, 7, 7), **norms(f"{root}stem.conv1.norm", 16, norm)}
    shapes |= resnet(
        lambda n: f"{root}res{n + 2}", "conv{}.norm".format, depth, 8, groups, norm, range(3) if c4 else range(4)
    )
    if c4:
        shapes |= resnet(lambda n: "roi_heads.res5", "conv{}.norm".format, depth, 8, groups, norm, [3])
    else:
        for level in range(2, 6):
            shapes[f"backbone.fpn_lateral{level}.weight"] = (32, 8, 1, 1)
            shapes[f"backbone.fpn_output{level}.weight"] = (32, 32, 3, 3)
            shapes |= norms(f"backbone.fpn_output{level}.norm", 32, fpn_norm)
    rpn = "proposal_generator.rpn_head."
    for conv in ["conv"] if rpn_convs == 1 else [f"conv.conv{n}" for n in range(rpn_convs)]:
        shapes[f"{rpn}{conv}.weight"] = (32, 32, 3, 3)
    shapes[f"{rpn}objectness_logits.weight"] = (3, 32, 1, 1)
    for stage in range(stages):
        dot = f".{stage}" if stages > 1 else ""
        if not c4:
            for conv in range(1, box_convs + 1):
                shapes[f"roi_heads.box_head{dot}.conv{conv}.weight"] = (24, 24, 3, 3)
                shapes |= norms(f"roi_heads.box_head{dot}.conv{conv}.norm", 24, fpn_norm)
            shapes[f"roi_heads.box_head{dot}.fc1.weight"] = (64, (24 if box_convs else 32) * 49)
            shapes[f"roi_heads.box_head{dot}.fc2.weight"] = (64, 64)
        shapes[f"roi_heads.box_predictor{dot}.cls_score.weight"] = (classes + 1, 64)
        shapes[f"roi_heads.box_predictor{dot}.bbox_pred.weight"] = (4 if agnostic else 4 * classes, 64)
    if masks:
        for conv in () if c4 else range(1, 5):
            shapes[f"roi_heads.mask_head.mask_fcn{conv}.weight"] = (32, 32, 3, 3)
        shapes["roi_heads.mask_head.predictor.weight"] = (1 if agnostic else classes, 32, 1, 1)
    if keypoints:
        shapes["roi_heads.keypoint_head.score_lowres.weight"] = (32, keypoints, 4, 4)
    return shapes


def test_detectron2_with_an_fpn():
    facts = detectron2_facts(detectron2())
    assert (facts.backbone.depth, facts.backbone.basic, facts.backbone.groups) == (50, False, 1)
    assert (facts.backbone.stem_channels, facts.backbone.channels, facts.backbone.width_per_group) == (16, 32, 8)
    assert (facts.backbone.norm, facts.backbone.last_stage) == ("BN", "backbone")
    assert (facts.fpn_channels, facts.fpn_levels, facts.fpn_norm, facts.anchors) == (32, 4, "", 3)
    assert (facts.num_classes, facts.class_agnostic_boxes, facts.class_agnostic_masks) == (5, False, False)
    assert (facts.box_head.convs, facts.box_head.linears, facts.box_head.resolution) == ((), (64, 64), 7)
    assert facts.mask_head is not None
    assert facts.mask_head.convs == (32, 32, 32, 32)
    assert (facts.cascade_stages, facts.mask_stages, facts.keypoints) == (1, 1, 0)


@pytest.mark.parametrize(
    ("options", "attribute", "expected"),
    [
        ({"depth": 18}, "backbone.depth", 18),
        ({"depth": 18}, "backbone.basic", True),
        ({"depth": 101, "groups": 4}, "backbone.groups", 4),
        ({"groups": 4}, "backbone.width_per_group", 2),
        ({"norm": "GN"}, "backbone.norm", "GN"),
        ({"fpn_norm": "GN", "box_convs": 4}, "fpn_norm", "GN"),
        ({"fpn_norm": "GN", "box_convs": 4}, "box_head.norm", "GN"),
        ({"fpn_norm": "BN", "box_convs": 4}, "box_head.norm", "BN"),
        ({"box_convs": 4}, "box_head.convs", (24, 24, 24, 24)),
        ({"box_convs": 4}, "box_head.resolution", 7),
        ({"rpn_convs": 2}, "rpn.convs", (32, 32)),
        ({"agnostic": True}, "class_agnostic_boxes", True),
        ({"agnostic": True}, "class_agnostic_masks", True),
        ({"agnostic": True, "classes": 1}, "class_agnostic_boxes", False),
        ({"classes": 1203}, "num_classes", 1203),
        ({"stages": 3, "agnostic": True}, "cascade_stages", 3),
        ({"masks": False}, "mask_head", None),
        ({"masks": False, "keypoints": 17}, "keypoints", 17),
        ({"c4": True}, "backbone.last_stage", "heads"),
        ({"c4": True}, "backbone.depth", 50),
        ({"c4": True}, "fpn_channels", 0),
        ({"c4": True}, "box_head.linears", ()),
    ],
)
def test_detectron2(options, attribute, expected):
    found = detectron2_facts(detectron2(**options))
    for part in attribute.split("."):
        found = getattr(found, part)
    assert found == expected


def mmdet(shapes):
    """The same network under mmdetection's names."""
    renamed = {}
    for name, shape in shapes.items():
        name = re.sub(r"^backbone\.(?:bottom_up\.)?stem\.conv1\.norm", "backbone.bn1", name)
        name = re.sub(r"^backbone\.(?:bottom_up\.)?stem\.", "backbone.", name)
        name = re.sub(
            r"^(?:backbone\.(?:bottom_up\.)?|(roi_)heads\.)res(\d)",
            lambda m: (f"{m[1]}head.shared_head." if m[1] else "backbone.") + f"layer{int(m[2]) - 1}",
            name,
        )
        name = re.sub(r"conv(\d)\.norm", r"bn\1", name)
        name = re.sub(r"^backbone\.fpn_lateral(\d)", lambda m: f"neck.lateral_convs.{int(m[1]) - 2}.conv", name)
        name = re.sub(r"^backbone\.fpn_output(\d)\.norm", lambda m: f"neck.fpn_convs.{int(m[1]) - 2}.gn", name)
        name = re.sub(r"^backbone\.fpn_output(\d)", lambda m: f"neck.fpn_convs.{int(m[1]) - 2}.conv", name)
        name = name.replace("proposal_generator.rpn_head.conv.conv", "rpn_head.rpn_conv.")
        name = re.sub(r"^(rpn_head\.rpn_conv\.\d)\.", r"\1.conv.", name)
        name = name.replace("proposal_generator.rpn_head.conv", "rpn_head.rpn_conv")
        if name.startswith("proposal_generator.rpn_head.objectness"):
            name, shape = "rpn_head.rpn_reg.weight", (4 * shape[0], *shape[1:])
        name = re.sub(r"^roi_heads\.box_(?:head|predictor)", "roi_head.bbox_head", name)
        name = re.sub(r"bbox_head(\.\d)?\.fc(\d)", lambda m: f"bbox_head{m[1] or ''}.shared_fcs.{int(m[2]) - 1}", name)
        name = re.sub(
            r"bbox_head(\.\d)?\.conv(\d)", lambda m: f"bbox_head{m[1] or ''}.shared_convs.{int(m[2]) - 1}.conv", name
        )
        name = (
            name.replace("cls_score", "fc_cls")
            .replace("bbox_pred", "fc_reg")
            .replace("roi_heads.mask_head", "roi_head.mask_head")
        )
        name = re.sub(r"mask_fcn(\d)", lambda m: f"convs.{int(m[1]) - 1}.conv", name).replace(
            "predictor", "conv_logits"
        )
        renamed[name] = shape
    return renamed


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"depth": 18},
        {"depth": 101, "groups": 4},
        {"fpn_norm": "GN"},
        {"rpn_convs": 2},
        {"box_convs": 4},
        {"agnostic": True},
        {"classes": 1},
        {"stages": 3, "agnostic": True},
        {"masks": False},
        {"c4": True},
    ],
)
def test_mmdetection_tells_the_same(options):
    shapes = detectron2(**options)
    assert mmdet_facts(mmdet(shapes)) == detectron2_facts(shapes)


def test_a_mask_head_for_each_stage():
    shapes = mmdet(detectron2(stages=3, agnostic=True))
    masks = {name: shapes.pop(name) for name in list(shapes) if "mask_head" in name}
    for stage in range(3):
        shapes |= {name.replace("mask_head.", f"mask_head.{stage}."): shape for name, shape in masks.items()}
    facts = mmdet_facts(shapes)
    assert facts.mask_stages == 3
    assert facts.mask_head is not None
    assert len(facts.mask_head.convs) == 4


@pytest.mark.parametrize("facts", [detectron2_facts, mmdet_facts])
def test_missing_and_impossible_weights(facts):
    with pytest.raises(FactsError, match="it has no "):
        facts({})
    shapes = detectron2() if facts is detectron2_facts else mmdet(detectron2())
    for name in shapes:
        for shape in ((), (0,), (3,), (0, 0, 0, 0), (1, 2, 3, 4, 5)):
            try:
                facts({**shapes, name: shape})
            except FactsError as error:
                assert "its " in str(error)
    for name in shapes:
        try:
            facts({each: shape for each, shape in shapes.items() if each != name})
        except FactsError as error:
            assert "it has no " in str(error)
