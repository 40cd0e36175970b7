import math

import numpy as np
import pytest

from maskrt.contract.pipeline import Boxes, Paste, Resize
from maskrt.export.errors import UnsupportedModelError
from maskrt.export.families.mmdet.network import build_network
from maskrt.export.families.mmdet.spec import model_spec
from maskrt.export.rcnn.levels import level_thresholds
from maskrt.export.rcnn.spec import MinSide, ModelSpec

from .configs import C4, DC5, EXTRACTOR, REMOVED, SECOND, cascade, make_config


def _spec(changes=None) -> ModelSpec:
    config = make_config(changes)
    network = build_network(config)
    return model_spec(config, network.num_features(), network.size_divisor())


def test_defaults():
    spec = _spec()
    assert spec.family == "mmdet.MaskRCNN"
    assert (spec.normalization.colors, spec.normalization.divisor) == ("RGB", 1)
    assert spec.pipeline.resize == Resize("fit", "opencv_bilinear", 800, 1333)
    assert (spec.pipeline.size_divisor, spec.pipeline.boxes) == (32, Boxes(clip=False, drop_empty=False))
    assert spec.pipeline.paste == Paste("pixel_centers", 0.5)
    rpn, detection = spec.rpn, spec.detection
    assert (rpn.top_k_by, rpn.nms_by, rpn.finite_logits) == ("probability", "probability", False)
    assert (rpn.pre_nms_top_k, rpn.post_nms_top_k, rpn.min_side) == (1000, 900, MinSide(0.0, inclusive=False))
    assert (detection.num_labels, detection.background, detection.min_side) == (6, "last", None)
    (head,) = spec.box_heads
    limit = abs(math.log(16 / 1000))
    assert (head.coder.weights, head.coder.operation) == ((0.1, 0.1, 0.2, 0.2), "multiply")
    assert (head.coder.max_log_scale, head.coder.min_log_scale) == (limit, -limit)
    assert (head.pooling.aligned, head.pooling.sampling_ratio, head.pooling.output_size) == (True, 0, (7, 7))


def test_a_cascade():
    spec = _spec(cascade())
    assert spec.family == "mmdet.CascadeMaskRCNN"
    assert _spec({**cascade(), "model.roi_head.mask_head": None}).family == "mmdet.CascadeRCNN"
    assert [head.coder.weights[0] for head in spec.box_heads] == pytest.approx([0.1, 0.05, 0.1 / 3])
    assert all(head.class_agnostic for head in spec.box_heads)
    assert spec.stage_mean == "logits"
    assert len(_spec(cascade(1)).box_heads) == 1
    names = build_network(make_config(cascade())).state_dict().keys()
    assert {f"roi_head.bbox_head.{n}.fc_reg.weight" for n in range(3)} <= names
    assert {f"roi_head.mask_head.{n}.conv_logits.weight" for n in range(3)} <= names


def test_stages_of_a_cascade_may_pool_otherwise():
    coarse = {**EXTRACTOR, "roi_layer": {**EXTRACTOR["roi_layer"], "sampling_ratio": 2}}
    extractors = {"model.roi_head.bbox_roi_extractor": [EXTRACTOR, coarse, EXTRACTOR]}
    spec = _spec({**cascade(), **extractors})
    assert [head.pooling.sampling_ratio for head in spec.box_heads] == [0, 2, 0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model.roi_head.bbox_head.1.num_classes": 4}, "bbox_head.1..num_classes as 4; expected 5"),
        (
            {"model.roi_head.mask_roi_extractor": [EXTRACTOR, EXTRACTOR, {**EXTRACTOR, "finest_scale": 28}]},
            "pool alike",
        ),
    ],
)
def test_stages_of_a_cascade_that_do_not_fit(changes, words):
    with pytest.raises(UnsupportedModelError, match=words):
        _spec({**cascade(), **changes})


_HEADS, _LIMITS = "model.roi_head", "model.test_cfg"


@pytest.mark.parametrize(
    ("entry", "value", "of_spec"),
    [
        ("model.data_preprocessor.bgr_to_rgb", False, lambda s: s.normalization.colors == "BGR"),
        ("model.data_preprocessor.mean", REMOVED, lambda s: s.normalization.mean == (0.0, 0.0, 0.0)),
        ("model.data_preprocessor.pad_size_divisor", 64, lambda s: s.pipeline.size_divisor == 64),
        (
            "test_pipeline.1.scale",
            (600, 1000),
            lambda s: s.pipeline.resize == Resize("fit", "opencv_bilinear", 600, 1000),
        ),
        ("test_pipeline.1.type", "mmdet.Resize", lambda s: s == _spec()),
        ("model.rpn_head.bbox_coder.target_stds", [0.5] * 4, lambda s: s.rpn.coder.weights == (0.5,) * 4),
        (f"{_LIMITS}.rpn.nms_pre", 400, lambda s: s.rpn.pre_nms_top_k == 400),
        (f"{_LIMITS}.rpn.min_bbox_size", 4, lambda s: s.rpn.min_side == MinSide(4.0, inclusive=False)),
        (f"{_LIMITS}.rpn.min_bbox_size", -1, lambda s: s.rpn.min_side is None),
        (f"{_LIMITS}.rpn.nms.iou_threshold", 0.6, lambda s: s.rpn.nms_threshold == 0.6),
        (f"{_LIMITS}.rcnn.score_thr", 0.1, lambda s: s.detection.score_threshold == 0.1),
        (f"{_LIMITS}.rcnn.nms", {"iou_threshold": 0.4}, lambda s: s.detection.nms_threshold == 0.4),
        (f"{_LIMITS}.rcnn.max_per_img", 30, lambda s: s.detection.max_detections == 30),
        (f"{_LIMITS}.rcnn.mask_thr_binary", 0.45, lambda s: s.pipeline.paste.threshold == 0.45),
        (f"{_HEADS}.bbox_head.reg_class_agnostic", True, lambda s: s.box_heads[0].class_agnostic),
        (f"{_HEADS}.mask_head.class_agnostic", True, lambda s: s.mask_head.class_agnostic),
        (f"{_HEADS}.bbox_roi_extractor.roi_layer.aligned", False, lambda s: not s.box_heads[0].pooling.aligned),
        (
            f"{_HEADS}.bbox_roi_extractor.roi_layer.sampling_ratio",
            2,
            lambda s: s.box_heads[0].pooling.sampling_ratio == 2,
        ),
        (
            f"{_HEADS}.bbox_roi_extractor.finest_scale",
            28,
            lambda s: s.box_heads[0].pooling.level_rule.canonical_size == 28,
        ),
        (f"{_HEADS}.mask_head", None, lambda s: (s.mask_head, s.family) == (None, "mmdet.FasterRCNN")),
        (f"{_HEADS}.mask_roi_extractor", None, lambda s: s.mask_head.pooling == s.box_heads[0].pooling),
        (
            "model.rpn_head.anchor_generator.center_offset",
            0.5,
            lambda s: s.rpn.anchors[0].cells[1] == (-14, -14, 18, 18),
        ),
    ],
)
def test_each_entry_of_a_config_is_followed(entry, value, of_spec):
    assert of_spec(_spec({entry: value}))


@pytest.mark.parametrize(("by_scale", "areas"), [(True, [1, 4, 1, 4]), (False, [1, 1, 4, 4])])
def test_anchors_go_by_ratio_first(by_scale, areas):
    generator = {"scales": [2, 4], "ratios": [0.5, 2.0], "scale_major": by_scale}
    spec = _spec({f"model.rpn_head.anchor_generator.{key}": value for key, value in generator.items()})
    cells = np.array(spec.rpn.anchors[2].cells)
    width, height = cells[:, 2] - cells[:, 0], cells[:, 3] - cells[:, 1]
    np.testing.assert_allclose(width * height, np.array(areas) * 32**2, rtol=1e-6)
    np.testing.assert_allclose(height / width, [0.5, 0.5, 2, 2] if by_scale else [0.5, 2, 0.5, 2], rtol=1e-6)
    assert [anchors.stride for anchors in spec.rpn.anchors] == [4, 8, 16, 32, 64]


def test_levels_change_at_the_sizes_of_mmdetection():
    rule = _spec().box_heads[0].pooling.level_rule
    expected = np.float32([111.99994659, 223.9999542, 447.9999084])
    np.testing.assert_array_equal(np.float32(level_thresholds(rule, 4)), expected)


def test_dc5_and_c4_are_padded():
    for changes in (DC5, C4):
        spec = _spec(changes)
        assert (spec.pipeline.size_divisor, spec.rpn.features) == (32, ("0",))
        assert (spec.box_heads[0].pooling.level_rule, len(spec.rpn.anchors[0].cells)) == (None, 15)


def test_the_pipeline_of_mmdetection_2():
    spec = _spec(SECOND)
    assert spec.pipeline == _spec().pipeline
    assert (spec.normalization.colors, spec.normalization.mean) == ("BGR", (103.53, 116.28, 123.675))


def test_limits_of_the_first_releases_of_mmdetection_2():
    limits = {"nms_across_levels": False, "nms_pre": 1000, "nms_post": 1000, "max_num": 800, "nms_thr": 0.6}
    spec = _spec({"model.test_cfg.rpn": limits})
    assert (spec.rpn.post_nms_top_k, spec.rpn.nms_threshold, spec.rpn.min_side) == (800, 0.6, None)


@pytest.mark.parametrize(
    ("entry", "value", "words"),
    [
        ("model.data_preprocessor.pad_size_divisor", 1, "a multiple of 32"),
        ("model.data_preprocessor.rgb_to_bgr", True, "False"),
        ("model.data_preprocessor.std", [1.0, 1.0, 0.0], "numbers from"),
        ("test_pipeline.1.keep_ratio", False, "True"),
        ("test_pipeline.1.keep_ratio", REMOVED, "True"),
        ("test_pipeline.1.backend", "pillow", "'cv2'"),
        ("test_pipeline.1.scale", [800], "two whole numbers"),
        ("test_pipeline.1.type", "FixScaleResize", "'Resize'"),
        ("test_pipeline.2", {"type": "Pad", "size_divisor": 32}, "pad_size_divisor"),
        ("test_pipeline.2", {"type": "RandomFlip", "prob": 0.5}, "no such step"),
        ("test_pipeline.2", {"type": "Resize", "scale": [1, 2], "keep_ratio": True}, "no second Resize"),
        ("test_pipeline", [{"type": "PackDetInputs"}], "no Resize"),
        ("test_pipeline", REMOVED, "no test_pipeline"),
        ("model.rpn_head.anchor_generator.strides", [4, 8], "each of the 5 feature maps"),
        ("model.rpn_head.bbox_coder.target_means", [0.1, 0, 0, 0], "four zeros"),
        (f"{_HEADS}.bbox_roi_extractor.featmap_strides", [4, 8, 16, 32, 64, 128], "no more strides"),
        (f"{_LIMITS}.rcnn.max_per_img", -1, "from 1"),
        (f"{_LIMITS}.rcnn.nms", {"type": "soft_nms", "iou_threshold": 0.5}, "'nms'"),
        (f"{_LIMITS}.rpn.nms.class_agnostic", True, "False"),
        (f"{_LIMITS}.rpn.nms_post", 100, "as many proposals of a level"),
    ],
)
def test_what_an_entry_cannot_be(entry, value, words):
    with pytest.raises(UnsupportedModelError, match=words):
        _spec({entry: value})
