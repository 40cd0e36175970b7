import numpy as np
import onnx
import pytest
import torch

from maskrt.calibration.layers import find_layers, groups_of


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (torch.nn.Conv2d(6, 8, 3, stride=2, padding=1), (2, 6, 17, 12)),
        (torch.nn.Conv2d(6, 8, (3, 5), padding=(0, 2), groups=2), (1, 6, 9, 9)),
        (torch.nn.Conv2d(4, 4, 3, dilation=2, padding=2), (1, 4, 11, 9)),
        (torch.nn.ConvTranspose2d(6, 4, 2, stride=2), (3, 6, 5, 7)),
        (torch.nn.Linear(6, 8), (7, 6)),
        (torch.nn.Linear(6, 8), (2, 5, 3, 6)),
        (torch.nn.Linear(6, 8), (4, 5, 6)),
    ],
)
def test_macs_are_what_a_brute_force_count_gives(layer, shape, tmp_path):
    path = tmp_path / "layer.onnx"
    torch.onnx.export(layer.eval(), (torch.zeros(shape),), path, dynamo=True, verbose=False, opset_version=20)
    (found,) = find_layers(onnx.load(path).graph)
    # Each product adds 1 where all weights and inputs are 1; without padding every output counts its products.
    with torch.no_grad():
        layer.weight.fill_(1)
        layer.bias.fill_(0)
        inputs = torch.ones(shape)
        if isinstance(layer, torch.nn.Conv2d):
            inputs = torch.nn.functional.pad(inputs, layer._reversed_padding_repeated_twice, value=1.0)
            layer.padding = (0, 0)
        assert found.macs(shape) == int(layer(inputs).sum())


def test_groups_of_the_demo_model(shapes_onnx):
    layers = find_layers(onnx.load(shapes_onnx).graph)
    groups = groups_of(layers)
    assert groups[0] == "backbone.body"
    assert {"backbone.body.layer1.0", "rpn.head", "roi_heads.box_head", "roi_heads.mask_predictor"} <= set(groups)
    assert sum(layer.group == "roi_heads.box_predictor" for layer in layers) == 2
    assert sum(layer.operator == "ConvTranspose" for layer in layers) == 1


def test_a_matrix_product_without_constant_weights_is_no_layer(make_graph):
    text = "test (float[2,3] x, float[3,4] w) => (float[2,4] y) { y = Gemm (x, w, b) }"
    assert find_layers(make_graph(text, b=np.zeros(4, np.float32)).graph) == []


def test_groups_of_linear_layers_on_feature_maps(tmp_path):
    """The exporter transposes their weights, and with that the name is lost; that of the bias is not."""

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Sequential(torch.nn.Linear(6, 12), torch.nn.GELU(), torch.nn.Linear(12, 6))
            self.second = torch.nn.Linear(6, 3, bias=False)

        def forward(self, x):
            return self.second(self.first(x))

    path = tmp_path / "block.onnx"
    torch.onnx.export(Block().eval(), (torch.zeros(1, 4, 5, 6),), path, dynamo=True, verbose=False, opset_version=20)
    layers = find_layers(onnx.load(path).graph)
    assert [layer.operator for layer in layers] == ["MatMul"] * 3
    assert [layer.group for layer in layers[:2]] == ["first"] * 2
    assert layers[2].group not in ("", "first")
