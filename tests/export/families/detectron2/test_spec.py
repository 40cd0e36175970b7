import dataclasses
import math

import numpy as np
import pytest

from maskrt.contract.pipeline import Boxes, Paste, Resize
from maskrt.export.errors import UnsupportedModelError
from maskrt.export.families.detectron2.network import build_network
from maskrt.export.families.detectron2.spec import model_spec
from maskrt.export.rcnn.levels import level_thresholds
from maskrt.export.rcnn.spec import MinSide, ModelSpec

from .configs import C4, CASCADE, DC5, FPN, make_config


def _spec(said, **changes) -> ModelSpec:
    config = make_config(said, **changes)
    return model_spec(config, build_network(config).backbone.strides)


def test_defaults():
    spec = _spec(FPN)
    assert spec.family == "detectron2.MaskRCNN"
    assert spec.normalization.colors == "BGR"
    assert (spec.normalization.divisor, spec.normalization.mean) == (1, (103.53, 116.28, 123.675))
    assert spec.pipeline.resize == Resize("shortest_edge", "pillow_bilinear", 800, 1333)
    assert (spec.pipeline.size_divisor, spec.pipeline.boxes) == (32, Boxes(clip=True, drop_empty=True))
    assert spec.pipeline.paste == Paste("pixel_centers", 0.5)
    rpn, detection = spec.rpn, spec.detection
    assert (rpn.top_k_by, rpn.nms_by, rpn.pre_nms_top_k, rpn.post_nms_top_k) == ("logit", "logit", 1000, 1000)
    assert rpn.finite_logits
    assert (rpn.min_side, rpn.min_probability) == (MinSide(0.0, inclusive=False), None)
    assert (detection.num_labels, detection.background, detection.min_side) == (6, "last", None)
    assert (detection.activation, detection.max_detections) == ("softmax", 100)
    (head,) = spec.box_heads
    assert (head.coder.weights, head.coder.operation) == ((10.0, 10.0, 5.0, 5.0), "divide")
    assert (head.coder.max_log_scale, head.coder.min_log_scale) == (math.log(1000 / 16), None)
    assert (head.pooling.aligned, head.pooling.sampling_ratio, head.pooling.output_size) == (True, 0, (7, 7))
    assert spec.mask_head.pooling.output_size == (14, 14)
    assert [anchors.stride for anchors in rpn.anchors] == [4, 8, 16, 32, 64]


def test_a_cascade():
    spec = _spec(CASCADE)
    assert spec.family == "detectron2.CascadeMaskRCNN"
    assert _spec(CASCADE, MODEL__MASK_ON=False).family == "detectron2.CascadeRCNN"
    weights = [head.coder.weights for head in spec.box_heads]
    assert weights == [(10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0)]
    assert all(head.class_agnostic for head in spec.box_heads)
    assert spec.stage_mean == "scores"
    two = {"MODEL__ROI_BOX_CASCADE_HEAD__BBOX_REG_WEIGHTS": [[9, 8, 7, 6], [5, 4, 3, 2]]}
    assert [head.coder.weights for head in _spec(CASCADE, **two).box_heads] == [(9, 8, 7, 6), (5, 4, 3, 2)]
    network = build_network(make_config(CASCADE, **two))
    names = network.state_dict().keys()
    assert {"roi_heads.box_head.1.fc2.weight", "roi_heads.box_predictor.1.cls_score.weight"} <= names
    assert "roi_heads.box_head.2.fc2.weight" not in names
    assert network.roi_heads.box_predictor[1].bbox_pred.weight.shape[0] == 4
    for rows in ([], [[1, 2, 3]], 7):
        with pytest.raises(UnsupportedModelError, match=r"ROI_BOX_CASCADE_HEAD\.BBOX_REG_WEIGHTS"):
            _spec(CASCADE, MODEL__ROI_BOX_CASCADE_HEAD__BBOX_REG_WEIGHTS=rows)


@pytest.mark.parametrize(
    ("entry", "value", "of_spec"),
    [
        ("INPUT__FORMAT", "RGB", lambda s: s.normalization.colors == "RGB"),
        ("INPUT__MIN_SIZE_TEST", 0, lambda s: s.pipeline.resize.min_size == 0),
        ("INPUT__MAX_SIZE_TEST", 640, lambda s: s.pipeline.resize.max_size == 640),
        ("MODEL__PIXEL_STD", [57.375, 57.12, 58.395], lambda s: s.normalization.std == (57.375, 57.12, 58.395)),
        ("MODEL__PROPOSAL_GENERATOR__MIN_SIZE", 12, lambda s: s.rpn.min_side == MinSide(12.0, inclusive=False)),
        ("MODEL__RPN__PRE_NMS_TOPK_TEST", 400, lambda s: s.rpn.pre_nms_top_k == 400),
        ("MODEL__RPN__POST_NMS_TOPK_TEST", 300, lambda s: s.rpn.post_nms_top_k == 300),
        ("MODEL__RPN__NMS_THRESH", 0.6, lambda s: s.rpn.nms_threshold == 0.6),
        ("MODEL__RPN__BBOX_REG_WEIGHTS", [2, 2, 1, 1], lambda s: s.rpn.coder.weights == (2.0, 2.0, 1.0, 1.0)),
        ("MODEL__ROI_BOX_HEAD__BBOX_REG_WEIGHTS", [5, 5, 2.5, 2.5], lambda s: s.box_heads[0].coder.weights[2] == 2.5),
        ("MODEL__ROI_BOX_HEAD__CLS_AGNOSTIC_BBOX_REG", True, lambda s: s.box_heads[0].class_agnostic),
        ("MODEL__ROI_BOX_HEAD__POOLER_TYPE", "ROIAlign", lambda s: not s.box_heads[0].pooling.aligned),
        ("MODEL__ROI_BOX_HEAD__POOLER_SAMPLING_RATIO", 2, lambda s: s.box_heads[0].pooling.sampling_ratio == 2),
        ("MODEL__ROI_MASK_HEAD__POOLER_TYPE", "ROIAlign", lambda s: not s.mask_head.pooling.aligned),
        ("MODEL__ROI_MASK_HEAD__CLS_AGNOSTIC_MASK", True, lambda s: s.mask_head.class_agnostic),
        ("MODEL__ROI_BOX_HEAD__USE_SIGMOID_CE", True, lambda s: s.detection.activation == "sigmoid"),
        ("MODEL__ROI_HEADS__SCORE_THRESH_TEST", 0.0001, lambda s: s.detection.score_threshold == 0.0001),
        ("MODEL__ROI_HEADS__NMS_THRESH_TEST", 0.4, lambda s: s.detection.nms_threshold == 0.4),
        ("TEST__DETECTIONS_PER_IMAGE", 300, lambda s: s.detection.max_detections == 300),
        ("MODEL__ANCHOR_GENERATOR__OFFSET", 0.5, lambda s: [a.offset for a in s.rpn.anchors] == [2, 4, 8, 16, 32]),
        ("MODEL__MASK_ON", False, lambda s: (s.mask_head, s.family) == (None, "detectron2.FasterRCNN")),
        ("TEST__AUG", {"ENABLED": True}, lambda s: s == _spec(FPN)),  # DefaultPredictor does not heed it
    ],
)
def test_each_entry_of_a_config_is_followed(entry, value, of_spec):
    assert of_spec(_spec(FPN, **{entry: value}))


def test_anchors_are_not_rounded_and_go_by_size_first():
    spec = _spec(FPN, MODEL__ANCHOR_GENERATOR__SIZES=[[30, 50]], MODEL__ANCHOR_GENERATOR__ASPECT_RATIOS=[[0.5, 2.0]])
    cells = np.array(spec.rpn.anchors[3].cells)
    assert cells.shape == (4, 4)
    width, height = cells[:, 2] - cells[:, 0], cells[:, 3] - cells[:, 1]
    np.testing.assert_allclose(width * height, [900, 900, 2500, 2500], rtol=1e-6)
    np.testing.assert_allclose(height / width, [0.5, 2, 0.5, 2], rtol=1e-6)
    assert not np.array_equal(cells, cells.round())
    assert (cells == cells.astype(np.float32)).all()


def test_levels_change_at_the_sizes_of_detectron2():
    rule = _spec(FPN).box_heads[0].pooling.level_rule
    expected = np.float32([111.99998474, 223.99998474, 447.99990845])
    np.testing.assert_array_equal(np.float32(level_thresholds(rule, 4)), expected)


def test_c4_has_one_pooler_and_no_padding():
    spec = _spec(C4, MODEL__ROI_MASK_HEAD__POOLER_RESOLUTION=7)
    assert spec.pipeline.size_divisor == 1
    assert spec.mask_head.pooling == spec.box_heads[0].pooling
    assert (spec.mask_head.pooling.output_size, spec.mask_head.pooling.strides) == ((14, 14), (16,))
    assert (spec.mask_head.pooling.level_rule, spec.rpn.pre_nms_top_k) == (None, 6000)


def test_dc5_has_stride_16_and_no_padding():
    spec = _spec(DC5)
    assert spec.pipeline.size_divisor == 1
    assert ([anchors.stride for anchors in spec.rpn.anchors], len(spec.rpn.anchors[0].cells)) == ([16], 15)
    assert spec.box_heads[0].pooling.features == ("res5",)


def test_a_pyramid_over_fewer_stages():
    stages = ["res3", "res4", "res5"]
    spec = _spec(
        FPN,
        MODEL__FPN__IN_FEATURES=stages,
        MODEL__RESNETS__OUT_FEATURES=stages,
        MODEL__RPN__IN_FEATURES=["p3", "p4", "p5", "p6"],
        MODEL__ANCHOR_GENERATOR__SIZES=[[64], [128], [256], [512]],
        MODEL__ROI_HEADS__IN_FEATURES=["p3", "p4", "p5"],
    )
    assert [anchors.stride for anchors in spec.rpn.anchors] == [8, 16, 32, 64]
    assert spec.box_heads[0].pooling.level_rule.first_level == 3


@pytest.mark.parametrize(
    ("entry", "value", "words"),
    [
        ("MODEL__RPN__IN_FEATURES", ["p2", "p3", "p4", "p5", "p7"], "features of the backbone"),
        ("MODEL__ROI_HEADS__IN_FEATURES", ["p2", "p4"], "twice the stride"),
        ("MODEL__ANCHOR_GENERATOR__SIZES", [[32], [64]], "for each of 5 feature maps"),
        ("MODEL__ANCHOR_GENERATOR__SIZES", [[32], [64, 72], [128], [256], [512]], "as many anchors"),
        ("MODEL__ANCHOR_GENERATOR__ASPECT_RATIOS", [[0.5, -1.0]], "positive numbers"),
        ("MODEL__ROI_BOX_HEAD__POOLER_TYPE", "ROIPool", "'ROIAlign', 'ROIAlignV2'"),
        ("MODEL__ROI_BOX_HEAD__POOLER_TYPE", "ROIAlignRotated", "'ROIAlign', 'ROIAlignV2'"),
        ("INPUT__FORMAT", "L", "'BGR', 'RGB'"),
        ("MODEL__PIXEL_MEAN", [128.0], "3 numbers"),
        ("MODEL__PIXEL_STD", [1.0, 0.0, 1.0], "numbers from"),
        ("TEST__DETECTIONS_PER_IMAGE", -1, "from 1"),
        ("MODEL__ROI_HEADS__SCORE_THRESH_TEST", 1.5, "from 0 to 1"),
    ],
)
def test_what_an_entry_cannot_be(entry, value, words):
    with pytest.raises(UnsupportedModelError, match=words) as caught:
        _spec(FPN, **{entry: value})
    assert entry.replace("__", ".") in str(caught.value)


@pytest.mark.parametrize("name", ["d2_mask_rcnn_R_50_FPN", "d2_mask_rcnn_R_50_C4", "d2_rpn_retrained"])
def test_specs_of_reference_models_are_values(load, name):
    spec = load(name).spec
    assert dataclasses.replace(spec) == spec
    assert hash(spec) == hash(dataclasses.replace(spec))
