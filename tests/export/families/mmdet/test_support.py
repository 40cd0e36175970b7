import pytest

from maskrt.export.errors import UnsupportedModelError
from maskrt.export.families.mmdet.network import build_network
from maskrt.export.families.mmdet.support import check_supported

from .configs import C4, DC5, SECOND, cascade, make_config


@pytest.mark.parametrize("changes", [{}, DC5, C4, SECOND, cascade()])
def test_what_is_supported(changes):
    check_supported(make_config(changes))


@pytest.mark.parametrize(
    ("entry", "value", "words"),
    [
        ("model.type", "HybridTaskCascade", "'MaskRCNN' or 'FasterRCNN'"),
        ("model.type", "RetinaNet", "'MaskRCNN' or 'FasterRCNN'"),
        ("model.backbone.type", "SwinTransformer", "'ResNet' or 'ResNeXt'"),
        ("model.backbone.type", "ResNetV1d", "'ResNet' or 'ResNeXt'"),
        ("model.backbone.deep_stem", True, "False"),
        ("model.backbone.avg_down", True, "False"),
        ("model.backbone.dcn", {"type": "DCNv2", "deform_groups": 1}, "None"),
        ("model.backbone.plugins", [{"cfg": {"type": "ContextBlock"}}], "None"),
        ("model.backbone.conv_cfg", {"type": "ConvWS"}, "None"),
        ("model.backbone.sac", {"type": "SAC"}, "its effect is not known"),
        ("model.neck.type", "PAFPN", "'FPN'"),
        ("model.neck.add_extra_convs", "on_output", "False"),
        ("model.neck.start_level", 1, "0"),
        ("model.neck.upsample_cfg", {"mode": "bilinear"}, "'nearest'"),
        ("model.rpn_head.type", "GARPNHead", "'RPNHead'"),
        ("model.rpn_head.anchor_generator.type", "LegacyAnchorGenerator", "'AnchorGenerator'"),
        ("model.rpn_head.anchor_generator.octave_base_scale", 4, "its effect is not known"),
        ("model.rpn_head.bbox_coder.type", "LegacyDeltaXYWHBBoxCoder", "'DeltaXYWHBBoxCoder'"),
        ("model.rpn_head.bbox_coder.clip_border", False, "True"),
        ("model.roi_head.type", "PointRendRoIHead", "'StandardRoIHead'"),
        ("model.roi_head.bbox_head.type", "DoubleConvFCBBoxHead", "'Shared2FCBBoxHead'"),
        ("model.roi_head.bbox_head.num_cls_fcs", 1, "0"),
        ("model.roi_head.bbox_head.loss_cls", {"type": "SeesawLoss"}, "softmax"),
        ("model.roi_head.bbox_roi_extractor.type", "GenericRoIExtractor", "'SingleRoIExtractor'"),
        ("model.roi_head.bbox_roi_extractor.roi_layer.type", "RoIPool", "'RoIAlign'"),
        ("model.roi_head.mask_head.type", "HTCMaskHead", "'FCNMaskHead'"),
        ("model.roi_head.mask_head.upsample_cfg", {"type": "carafe", "scale_factor": 2}, "'deconv'"),
        ("model.test_cfg.rpn.nms_across_levels", True, "False"),
        ("model.test_cfg.rcnn.min_bbox_size", 4, "its effect is not known"),
    ],
)
def test_what_is_refused_by_name(entry, value, words):
    with pytest.raises(UnsupportedModelError, match=words) as caught:
        check_supported(make_config({entry: value}))
    assert entry in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("entry", "value", "words"),
    [
        ("model.backbone.depth", 51, "one of 18, 34, 50, 101, 152"),
        ("model.backbone.strides", [1, 2], "each of the 4 stages"),
        ("model.backbone.out_indices", [0, 1, 2, 4], "of the 4 stages"),
        ("model.backbone.norm_cfg", {"type": "LN"}, "'BN'"),
        ("model.backbone.norm_cfg", None, "a normalisation"),
        ("model.neck", None, "a single stage"),
        ("model.neck.in_channels", [16, 32, 64, 99], "those of the backbone"),
        ("model.backbone.strides", [1, 2, 2, 1], "twice the stride"),
        ("model.neck.num_outs", 2, "from 4"),
        ("model.rpn_head.in_channels", 64, "32, as many as its input has"),
        ("model.roi_head.mask_head.in_channels", 64, "32, as many as its input has"),
        ("model.roi_head.mask_head.num_classes", 4, "as many as the bbox_head has"),
        ("model.rpn_head.feat_channels", "many", "a whole number"),
    ],
)
def test_what_cannot_be_built(entry, value, words):
    with pytest.raises(UnsupportedModelError, match=words) as caught:
        build_network(make_config({entry: value}))
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("entry", "value", "words"),
    [
        ("model.roi_head.num_stages", 2, "one for each of the 2 stages, or one for all"),
        ("model.roi_head.num_stages", 0, "a whole number from 1"),
        ("model.roi_head.bbox_head.1", None, "one for each of the 3 stages"),
        ("model.roi_head.bbox_head.1.type", "SABLHead", "'Shared2FCBBoxHead'"),
        ("model.roi_head.bbox_head.2.bbox_coder.clip_border", False, "True"),
        ("model.roi_head.mask_roi_extractor", [None], "one for each of the 3 stages"),
        ("model.roi_head.shared_head", {"type": "ResLayer"}, "None"),
    ],
)
def test_what_a_cascade_needs(entry, value, words):
    config = make_config({**cascade(), entry: value})
    with pytest.raises(UnsupportedModelError, match=words):
        check_supported(config)
