"""Models without a pyramid, of which there are no golden outputs: the model file against PyTorch."""

import pytest
import torch
from torch import nn

from maskrt.export import export_onnx
from maskrt.export.families.detectron2 import network as detectron2
from maskrt.export.families.mmdet import network as mmdet
from maskrt.export.verify import verify_onnx

from .detectron2 import configs as of_detectron2
from .mmdet import configs as of_mmdet

_SMALLER = {
    "conv3": 0.25,  # ends a residual branch, and the sum of sixteen grows
    **dict.fromkeys(("anchor_deltas", "bbox_pred", "rpn_reg", "fc_reg"), 0.03),  # boxes near their anchors, proposals
    **dict.fromkeys(("cls_score", "fc_cls"), 0.5),  # scores below 1: among equal ones chance decides which remain
}
"""By the last part of a layer's name: by how much its drawn weights are smaller."""


def _drawn(network: nn.Module) -> nn.Module:
    """With weights that keep the size of activations and predict boxes near their anchors, and scores below 1."""
    generator = torch.Generator().manual_seed(0)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            fan_in = module.weight[0].numel() if not isinstance(module, nn.ConvTranspose2d) else module.weight.shape[0]
            module.weight.data = torch.randn(module.weight.shape, generator=generator) * (2 / fan_in) ** 0.5
            module.weight.data *= _SMALLER.get(name.rpartition(".")[2], 1)
            if module.bias is not None:
                module.bias.data = torch.randn(module.bias.shape, generator=generator) * 0.1
        elif isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.8, 1.2, generator=generator)
    return network.eval()


def _detectron2(said: dict[str, object]) -> nn.Module:
    small = {"INPUT__MIN_SIZE_TEST": 256, "INPUT__MAX_SIZE_TEST": 320, "MODEL__PIXEL_STD": [60.0, 60.0, 60.0]}
    small |= {"MODEL__RPN__POST_NMS_TOPK_TEST": 100, "TEST__DETECTIONS_PER_IMAGE": 30}
    return detectron2.build_network(of_detectron2.make_config(said, **small))


def _mmdet(changes: dict[str, object]) -> nn.Module:
    small = {"test_pipeline.1.scale": [320, 256]}
    small |= {"model.test_cfg.rpn.max_per_img": 100, "model.test_cfg.rcnn.max_per_img": 30}
    return mmdet.build_network(of_mmdet.make_config({**changes, **small}))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "config"),
    [
        pytest.param(_detectron2, of_detectron2.DC5, id="detectron2 DC5"),
        pytest.param(_mmdet, of_mmdet.DC5, id="mmdet DC5"),
        pytest.param(_mmdet, of_mmdet.C4, id="mmdet C4"),
    ],
)
def test_the_model_file_equals_the_model(build, config, tmp_path):
    network = _drawn(build(config))
    differences = verify_onnx(network, export_onnx(network, tmp_path / "model.onnx", verify=False))
    assert differences.detections > 20
    assert differences.mask is not None
