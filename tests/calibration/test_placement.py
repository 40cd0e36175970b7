import numpy as np
import pytest

from maskrt.calibration.layers import find_layers
from maskrt.calibration.placement import calibrated_tensors, find_addends


def make(make_graph, body):
    rng = np.random.default_rng(0)
    weights = {name: rng.standard_normal((4, 4, 1, 1)).astype(np.float32) for name in ("w0", "w1", "w2")}
    text = f"test (float[1,4,8,8] x) => (float[1,4,8,8] y) {{ {body} }}"
    return make_graph(text, **weights, one=np.ones(1, np.float32))


FIRST = "a = Conv (x, w0)\n r = Relu (a)\n b = Conv (r, w1)\n"


@pytest.mark.parametrize(
    ("body", "addends"),
    [
        # ResNet: the shortcut is the block's input.
        (FIRST + "s = Add (b, r)\n y = Relu (s)", [(1, "r", "node_2")]),
        (FIRST + "s = Add (r, b)\n y = Relu (s)", [(0, "r", "node_2")]),
        # ResNet with a convolution in the shortcut: `out += shortcut`, out is fused.
        (FIRST + "c = Conv (r, w2)\n s = Add (b, c)\n y = Relu (s)", [(1, "c", "node_2")]),
        # A result that something else reads cannot be fused away.
        (FIRST + "s = Add (b, r)\n t = Relu (b)\n y = Add (s, t)", []),
        # A constant is no shortcut.
        (FIRST + "y = Add (b, one)", []),
    ],
)
def test_the_addend_that_is_quantized(make_graph, body, addends):
    graph = make(make_graph, body).graph
    layers = find_layers(graph)
    found = find_addends(graph, layers)
    assert [(addend.input_index, addend.tensor, addend.layer.node) for addend in found] == addends


def test_a_tensor_with_two_readers_is_calibrated_once(make_graph):
    graph = make(make_graph, FIRST + "s = Add (b, r)\n y = Relu (s)").graph
    layers = find_layers(graph)
    assert calibrated_tensors(layers, find_addends(graph, layers)) == ["x", "r"]
