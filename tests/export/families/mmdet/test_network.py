import numpy as np
import pytest
import torch

from maskrt.export.families.mmdet.network import FeatureExtractor, build_network

from ....support.references import picture, reference_model
from .configs import C4, DC5, REMOVED, make_config


@torch.inference_mode()
def test_features_are_those_of_mmdetection(load):
    source = load("mm_mask-rcnn_r50_fpn")
    canvas = source.reference().preprocess([picture("astronaut")]).tensors
    features = source.family.modules(source.model).backbone(canvas)
    expected = reference_model("mm_mask-rcnn_r50_fpn").features()
    assert expected
    for level, values in expected.items():
        np.testing.assert_allclose(features[level][0].numpy(), values, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "sizes", "masks"),
    [
        ({}, [(32, 24, 40), (32, 12, 20), (32, 6, 10), (32, 3, 5), (32, 2, 3)], 28),
        (DC5, [(128, 6, 10)], 28),
        (C4, [(1024, 6, 10)], 14),
    ],
    ids=["FPN", "DC5", "C4"],
)
@torch.inference_mode()
def test_sizes_of_features_and_heads(changes, sizes, masks):
    network = build_network(make_config(changes)).eval()
    features = FeatureExtractor(network.backbone, network.neck)(torch.zeros(1, 3, 96, 160))
    assert [tuple(feature.shape[1:]) for feature in features.values()] == sizes
    assert (len(features), network.num_features()) == (len(sizes), len(sizes))
    assert network.size_divisor() == (1 if changes else 32)
    pooled = torch.zeros(2, sizes[0][0], *(2 * [14 if masks == 14 else 7]))
    logits, deltas = network.roi_head.box_branches()[0](pooled)
    assert (tuple(logits.shape), tuple(deltas.shape)) == ((2, 6), (2, 20))
    assert tuple(network.roi_head.mask_branches()[0](torch.zeros(2, sizes[0][0], 14, 14)).shape) == (2, 5, masks, masks)


def test_every_block_of_a_dilated_stage_is_dilated():
    blocks = build_network(make_config(DC5)).backbone.layer4
    convs = [(block.conv2.dilation, block.conv2.padding, block.conv2.stride) for block in blocks]
    assert convs == [((2, 2), (2, 2), (1, 1))] * 3
    assert blocks[0].downsample[0].stride == (1, 1)


@pytest.mark.parametrize(("style", "strides"), [("caffe", (2, 1)), ("pytorch", (1, 2))])
def test_where_the_stride_is(style, strides):
    first, second, *_ = build_network(make_config({"model.backbone.style": style})).backbone.layer2
    assert (first.conv1.stride[0], first.conv2.stride[0], first.downsample[0].stride[0]) == (*strides, 2)
    assert (second.conv1.stride[0], second.conv2.stride[0]) == (1, 1)


def test_widths_of_a_resnext():
    changes = {"model.backbone.type": "ResNeXt", "model.backbone.groups": 8, "model.backbone.base_width": 1}
    blocks = build_network(make_config(changes)).backbone
    # floor(planes * base_width / base_channels) * groups, and planes double from stage to stage.
    assert [getattr(blocks, f"layer{n}")[0].conv2.in_channels for n in range(1, 5)] == [8, 16, 32, 64]
    assert blocks.layer3[0].conv2.groups == 8


def test_basic_blocks():
    changes = {"model.backbone.depth": 18, "model.backbone.stem_channels": 4, "model.neck.in_channels": [4, 8, 16, 32]}
    backbone = build_network(make_config(changes)).backbone
    stages = [getattr(backbone, f"layer{number}") for number in range(1, 5)]
    assert [len(stage) for stage in stages] == [2, 2, 2, 2]
    assert [stage[0].downsample is not None for stage in stages] == [False, True, True, True]


def test_names_with_group_normalisation():
    norm = {"type": "GN", "num_groups": 4, "requires_grad": True}
    changes = {f"model.{part}.norm_cfg": norm for part in ("backbone", "neck", "roi_head.mask_head")}
    names = set(build_network(make_config(changes)).state_dict())
    assert {
        "backbone.gn1.weight",
        "backbone.layer1.0.gn3.bias",
        "backbone.layer1.0.downsample.1.weight",
        "neck.lateral_convs.0.gn.weight",
        "roi_head.mask_head.convs.1.gn.weight",
    } <= names
    assert not {"neck.fpn_convs.0.conv.bias", "backbone.gn1.running_mean"} & names


def test_a_neck_without_norms_at_its_side():
    changes = {"model.neck.norm_cfg": {"type": "BN"}, "model.neck.no_norm_on_lateral": True}
    names = set(build_network(make_config(changes)).state_dict())
    assert "neck.lateral_convs.0.conv.bias" in names
    assert "neck.fpn_convs.0.bn.running_var" in names


@torch.inference_mode()
def test_an_rpn_head_with_two_logits_gives_the_one_whose_sigmoid_is_their_softmax():
    head = build_network(make_config({"model.rpn_head.loss_cls.use_sigmoid": False})).rpn_head
    assert head.rpn_cls.out_channels == 6
    feature = torch.randn(1, 32, 5, 7)
    (logits,), _ = head([feature])
    both = head.rpn_cls(torch.relu(head.rpn_conv(feature))).permute(0, 2, 3, 1).reshape(1, 5, 7, 3, 2)
    expected = both.softmax(-1)[..., 0].permute(0, 3, 1, 2)
    torch.testing.assert_close(logits.sigmoid(), expected)


def test_names_of_an_rpn_head_with_several_convolutions():
    names = build_network(make_config({"model.rpn_head.num_convs": 2})).rpn_head.state_dict()
    assert "rpn_conv.1.conv.weight" in names


@pytest.mark.parametrize(
    ("kind", "convs", "fcs"), [("Shared2FCBBoxHead", 0, 2), ("Shared4Conv1FCBBoxHead", 4, 1), ("ConvFCBBoxHead", 3, 1)]
)
def test_layers_of_box_heads(kind, convs, fcs):
    changes = {"model.roi_head.bbox_head.type": kind, "model.roi_head.bbox_head.conv_out_channels": 16}
    if kind == "ConvFCBBoxHead":
        changes |= {f"model.roi_head.bbox_head.num_shared_{part}": n for part, n in (("convs", convs), ("fcs", fcs))}
    head = build_network(make_config(changes)).roi_head.bbox_head
    assert (len(head.shared_convs), len(head.shared_fcs)) == (convs, fcs)
    assert head.shared_fcs[0].in_features == (16 if convs else 32) * 49


def test_defaults_are_those_of_the_classes():
    wide = {"model.backbone.base_channels": 64, "model.neck.in_channels": [256, 512, 1024, 2048]}
    removed = dict.fromkeys(
        (f"model.backbone.{key}" for key in ("num_stages", "out_indices", "style", "norm_cfg")), REMOVED
    )
    changes = {**wide, **removed, "model.backbone.stem_channels": None, "model.rpn_head.feat_channels": REMOVED}
    with torch.device("meta"):
        network = build_network(make_config(changes))
    assert network.backbone.conv1.out_channels == 64
    assert network.backbone.layer2[0].conv2.stride == (2, 2)
    assert network.rpn_head.rpn_conv.out_channels == 256
