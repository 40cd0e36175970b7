import numpy as np

from maskrt.calibration.features import find_network

GRAPH = """
test (float[1,3,8,8] x, float[1,5,4] rois) => (float[5,2] probability)
{
    n = Div (x, std)
    a = Conv <pads = [1, 1, 1, 1]> (n, w, b)
    g = GlobalAveragePool (a)
    gate = HardSigmoid (g)
    scaled = Mul (a, gate)
    shifted = Mul (scaled, two)
    s = Sigmoid (a)
    mixed = Mul (a, s)
    pooled = maskrt.MultilevelRoIAlign (rois, shifted)
    flat = Reshape (pooled, shape)
    logits = Gemm <transB = 1> (flat, w2, b2)
    half_logits = Mul (logits, two)
    moved = Reshape (logits, shape2)
    decoded = Mul (moved, two)
    probability = Softmax (logits)
}
"""


def network(make_graph):
    rng = np.random.default_rng(0)
    return find_network(
        make_graph(
            GRAPH,
            std=np.float32([2]),
            two=np.float32([2]),
            w=rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
            b=np.zeros(4, np.float32),
            shape=np.int64([5, -1]),
            shape2=np.int64([10]),
            w2=rng.standard_normal((2, 196)).astype(np.float32),
            b2=np.zeros(2, np.float32),
        ).graph
    )


def test_the_network_is_what_follows_layers_but_not_scores_and_boxes(make_graph):
    expected = {"a", "g", "gate", "scaled", "shifted", "pooled", "flat", "logits", "half_logits", "moved"}
    assert network(make_graph).tensors == expected


def test_rows_of_the_heads_are_rois(make_graph):
    assert network(make_graph).rois == dict.fromkeys(["pooled", "flat", "logits", "half_logits", "moved"], "rois")
