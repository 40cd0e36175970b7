import numpy as np
import pytest
import torch

from maskrt.export.errors import UnsupportedModelError
from maskrt.export.families.detectron2.network import GeneralizedRCNN, build_network

from ....support.references import picture, reference_model
from .configs import C4, DC5, FPN, make_config


def _names(network: GeneralizedRCNN, prefix: str) -> list[str]:
    return [name for name in network.state_dict() if name.startswith(prefix) and not name.endswith("tracked")]


@pytest.mark.parametrize("name", ["d2_mask_rcnn_R_50_FPN", "d2_mask_rcnn_R_50_C4"])
@torch.inference_mode()
def test_features_are_those_of_detectron2(load, name):
    source = load(name)
    reference = source.reference()
    features = source.model.backbone(reference.preprocess([picture("astronaut")]).tensors)
    expected = reference_model(name).features()
    assert expected
    for level, values in expected.items():
        np.testing.assert_allclose(features[level][0].numpy(), values, atol=1e-4)


@pytest.mark.parametrize("channels", ["C4", "DC5", "FPN"])
@torch.inference_mode()
def test_sizes_of_features_and_heads(channels):
    config = make_config({"C4": C4, "DC5": DC5, "FPN": FPN}[channels])
    network = build_network(config).eval()
    features = network.backbone(torch.zeros(1, 3, 96, 160))
    sizes = {name: tuple(feature.shape[1:]) for name, feature in features.items()}
    pooled = torch.zeros(2, next(iter(sizes.values()))[0], *(2 * [14 if channels == "C4" else 7]))
    logits, deltas = network.roi_heads.box_branches()[0](pooled)
    assert (tuple(logits.shape), tuple(deltas.shape)) == ((2, 6), (2, 20))
    pooled = torch.zeros(2, pooled.shape[1], 14, 14)
    masks = network.roi_heads.mask_branch()(pooled)
    if channels == "FPN":
        assert sizes == {"p2": (32, 24, 40), "p3": (32, 12, 20), "p4": (32, 6, 10), "p5": (32, 3, 5), "p6": (32, 2, 3)}
        assert network.backbone.strides == {f"p{level}": 2**level for level in range(2, 7)}
    else:
        assert sizes == {"res4": (64, 6, 10)} if channels == "C4" else {"res5": (128, 6, 10)}
        assert network.backbone.strides == {"res4": 16} if channels == "C4" else {"res5": 16}
    # In a C4 model the last stage halves the RoI before it is doubled again.
    assert tuple(masks.shape) == ((2, 5, 14, 14) if channels == "C4" else (2, 5, 28, 28))


def test_every_block_of_a_dilated_stage_is_dilated():
    network = build_network(make_config(DC5))
    convs = [(block.conv2.dilation, block.conv2.padding, block.conv2.stride) for block in network.backbone.res5]
    assert convs == [((2, 2), (2, 2), (1, 1))] * 3


@pytest.mark.parametrize(("in_1x1", "strides"), [(True, (2, 1)), (False, (1, 2))])
def test_where_the_stride_is(in_1x1, strides):
    network = build_network(make_config(FPN, MODEL__RESNETS__STRIDE_IN_1X1=in_1x1))
    first, second, *_ = network.backbone.bottom_up.res3
    assert (first.conv1.stride[0], first.conv2.stride[0], first.shortcut.stride[0]) == (*strides, 2)
    assert (second.conv1.stride[0], second.conv2.stride[0]) == (1, 1)


def test_groups_are_of_the_3x3_convolution():
    network = build_network(make_config(FPN, MODEL__RESNETS__NUM_GROUPS=4, MODEL__RESNETS__WIDTH_PER_GROUP=2))
    block = network.backbone.bottom_up.res3[0]
    assert (block.conv2.groups, block.conv2.in_channels, block.conv1.groups) == (4, 16, 1)


@pytest.mark.parametrize("depth", [18, 34])
def test_basic_blocks(depth):
    network = build_network(make_config(FPN, MODEL__RESNETS__DEPTH=depth, MODEL__RESNETS__RES2_OUT_CHANNELS=8))
    stages = [getattr(network.backbone.bottom_up, f"res{number}") for number in range(2, 6)]
    assert [len(stage) for stage in stages] == {18: [2, 2, 2, 2], 34: [3, 4, 6, 3]}[depth]
    assert [stage[0].shortcut is not None for stage in stages] == [False, True, True, True]
    assert all(block.conv3 is None for stage in stages for block in stage)


def test_the_last_stage_of_a_c4_model_has_bottlenecks_at_any_depth():
    config = make_config(C4, MODEL__RESNETS__DEPTH=18, MODEL__RESNETS__RES2_OUT_CHANNELS=8)
    network = build_network(config)
    assert [block.conv3 is not None for block in network.roi_heads.res5] == [True] * 3
    assert "roi_heads.res5.0.conv3.norm.weight" in network.state_dict()


def test_names_of_an_rpn_head_with_several_convolutions():
    network = build_network(make_config(FPN, MODEL__RPN__CONV_DIMS=[-1, 16]))
    parts = [f"proposal_generator.rpn_head.{part}" for part in ("conv.conv0", "conv.conv1", "objectness_logits")]
    names = _names(network, "proposal_generator.")
    assert names == [
        f"{part}.{kind}"
        for part in [*parts, "proposal_generator.rpn_head.anchor_deltas"]
        for kind in ("weight", "bias")
    ]
    assert network.proposal_generator.rpn_head.anchor_deltas.weight.shape == (12, 16, 1, 1)


@torch.inference_mode()
def test_an_averaging_pyramid_halves_what_it_adds():
    """With identities for convolutions, a level is what the averages of the levels above make it."""
    network = build_network(make_config(FPN, MODEL__FPN__FUSE_TYPE="avg", MODEL__RESNETS__RES2_OUT_CHANNELS=4)).eval()
    fpn = network.backbone
    for level, channels in zip(range(2, 6), (4, 8, 16, 32), strict=True):
        lateral, output = getattr(fpn, f"fpn_lateral{level}"), getattr(fpn, f"fpn_output{level}")
        for conv in (lateral, output):
            torch.nn.init.zeros_(conv.weight)
            torch.nn.init.zeros_(conv.bias)
        lateral.weight[:channels, :, 0, 0] = torch.eye(channels)
        output.weight[:, :, 1, 1] = torch.eye(32)
    fpn.bottom_up.forward = lambda x: {
        f"res{level}": torch.full((1, channels, 2 ** (6 - level), 2 ** (6 - level)), float(level))
        for level, channels in zip(range(2, 6), (4, 8, 16, 32), strict=True)
    }
    levels = fpn(torch.zeros(1, 3, 64, 64))
    values = [float(levels[f"p{level}"][0, 0].unique()) for level in range(2, 7)]
    assert values == [((((5 + 4) / 2) + 3) / 2 + 2) / 2, ((5 + 4) / 2 + 3) / 2, (5 + 4) / 2, 5.0, 5.0]


@pytest.mark.parametrize(
    ("norm", "has_bias", "kind"),
    [("", True, None), ("SyncBN", False, torch.nn.BatchNorm2d), ("GN", False, torch.nn.GroupNorm)],
)
def test_convolutions_have_a_norm_or_a_bias(norm, has_bias, kind):
    config = make_config(
        FPN,
        MODEL__FPN__NORM=norm,
        MODEL__ROI_BOX_HEAD__NORM=norm,
        MODEL__ROI_BOX_HEAD__NUM_CONV=1,
        MODEL__ROI_BOX_HEAD__CONV_DIM=32,
        MODEL__ROI_MASK_HEAD__NORM=norm,
    )
    network = build_network(config)
    heads = network.roi_heads
    for conv in (
        network.backbone.fpn_lateral2,
        network.backbone.fpn_output5,
        heads.box_head.conv1,
        heads.mask_head.mask_fcn2,
    ):
        assert (conv.bias is not None) == has_bias
        assert conv.norm is None if kind is None else isinstance(conv.norm, kind)


def test_groups_that_do_not_divide_channels_are_refused():
    with pytest.raises(UnsupportedModelError, match=r"a layer that cannot be: num_channels .* must be divisible"):
        build_network(make_config(FPN, MODEL__FPN__NORM="GN", MODEL__FPN__OUT_CHANNELS=20))


@pytest.mark.parametrize("agnostic", [True, False])
def test_class_agnostic_heads(agnostic):
    config = make_config(
        FPN, MODEL__ROI_BOX_HEAD__CLS_AGNOSTIC_BBOX_REG=agnostic, MODEL__ROI_MASK_HEAD__CLS_AGNOSTIC_MASK=agnostic
    )
    heads = build_network(config).roi_heads
    rows = (4, 1) if agnostic else (20, 5)
    assert (heads.box_predictor.bbox_pred.out_features, heads.mask_head.predictor.out_channels) == rows
