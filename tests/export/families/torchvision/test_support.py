import pytest
import torch
from torch import nn
from torchvision.models import detection, resnet18
from torchvision.ops import MultiScaleRoIAlign

from maskrt.export import export_onnx
from maskrt.export.errors import UnsupportedModelError
from maskrt.shapes.model import build_model


class _OwnPooling(MultiScaleRoIAlign):
    pass


def _with_own_pooling() -> nn.Module:
    model = build_model().eval()
    model.roi_heads.mask_roi_pool = _OwnPooling(["0"], 14, 2)
    return model


def _with_own_keypoint_pooling() -> nn.Module:
    own = _OwnPooling(["0"], 14, 2)
    model = detection.keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None, keypoint_roi_pool=own)
    return model.eval()


def _with_fixed_size() -> nn.Module:
    model = build_model().eval()
    model.transform.fixed_size = (320, 320)
    return model


def _with_unread_features() -> nn.Module:
    model = build_model().eval()
    model.roi_heads.box_roi_pool.featmap_names = ["p2", "p3"]
    return model


def _for_gray_images() -> nn.Module:
    model = build_model().eval()
    model.backbone.body.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    return model


def _with_levels_left_out() -> nn.Module:
    model = build_model().eval()
    model.roi_heads.box_roi_pool.featmap_names = ["0", "3"]
    return model


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: resnet18().eval(), "ResNet"),
        (_with_own_keypoint_pooling, "keypoint_roi_pool is a _OwnPooling"),
        (lambda: build_model().train(), "training mode"),
        (_with_own_pooling, "mask_roi_pool is a _OwnPooling"),
        (_with_fixed_size, "fixed_size"),
        (_for_gray_images, "cannot run this model on an RGB image: .*3 channels"),
        (_with_levels_left_out, "box_roi_pool reads 2 feature maps of 80 to 10 rows: expected each to have half"),
        (_with_unread_features, r"box_roi_pool reads the feature maps \['p2', 'p3'\]"),
    ],
)
def test_unsupported_part_is_named_and_nothing_is_written(make, part, tmp_path):
    torch.manual_seed(0)
    with pytest.raises(UnsupportedModelError, match=part):
        export_onnx(make(), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
