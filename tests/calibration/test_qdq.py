import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from maskrt.calibration.converters import CONVERTERS
from maskrt.calibration.fp16 import convert_to_fp16
from maskrt.calibration.layers import find_layers
from maskrt.calibration.placement import find_addends
from maskrt.calibration.qdq import insert_qdq

GRAPH = """
test (float[1,4,8,8] x, float[3,6] v) => (float[1,5,16,16] y, float[3,2] u)
{
    a = Conv <pads = [1, 1, 1, 1]> (x, w, b)
    r = Relu (a)
    c = Conv <pads = [1, 1, 1, 1]> (r, w, b)
    s = Add (c, r)
    t = ConvTranspose <strides = [2, 2]> (s, wt)
    y = Sigmoid (t)
    g = Gemm <transB = 1> (v, wg)
    u = Sigmoid (g)
}
"""


def weights():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((4, 4, 3, 3)).astype(np.float32) * np.float32([1, 0.01, 3e-6, 0])[:, None, None, None]
    transposed = rng.standard_normal((4, 5, 2, 2)).astype(np.float32)
    return {"w": weight, "wt": transposed, "wg": rng.standard_normal((2, 6)).astype(np.float32)}


def quantized(make_graph, number_format, chosen=slice(None)):
    model = make_graph(GRAPH, b=np.ones(4, np.float32), **weights())
    layers = find_layers(model.graph)
    addends = find_addends(model.graph, layers)
    converted = convert_to_fp16(model)
    thresholds = {"x": 3.0, "r": 4.0, "s": 5.0, "v": 2.0}
    insert_qdq(converted, weights(), layers[chosen], addends, thresholds, CONVERTERS[number_format])
    onnx.checker.check_model(converted, full_check=True)
    return converted


def arrays(model):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


@pytest.mark.parametrize(("name", "axis"), [("w", 0), ("wt", 1), ("wg", 0)])
def test_weights_per_output_channel_are_within_half_a_step(make_graph, name, axis):
    stored = arrays(quantized(make_graph, "int8"))
    values, scale = weights()[name], stored[f"{name}_scale"]
    assert scale.dtype == np.float16
    assert scale.shape == (values.shape[axis],)
    assert (scale > 0).all()
    shape = [-1 if index == axis else 1 for index in range(values.ndim)]
    steps = scale.astype(np.float64).reshape(shape)
    restored = stored[f"{name}_quantized"].astype(np.float64) * steps
    # Half a step, and at the very end what the rounding of the scale to FP16 cuts off.
    assert (np.abs(restored - values) <= 0.5 * steps + np.abs(values) * 2**-10).all()
    assert np.abs(stored[f"{name}_quantized"].astype(int)).max() == 127


def test_fp8_weights_keep_three_bits_of_mantissa(make_graph):
    stored = arrays(quantized(make_graph, "fp8"))
    values, scale = weights()["wt"], stored["wt_scale"].astype(np.float64)[:, None, None]
    assert stored["wt_quantized"].dtype == ml_dtypes.float8_e4m3fn
    restored = stored["wt_quantized"].astype(np.float64) * scale
    np.testing.assert_allclose(restored, values, rtol=2**-4 + 1e-3, atol=float(scale.max()) * 2**-10)


@pytest.mark.parametrize(("number_format", "largest"), [("int8", 127), ("fp8", 448)])
def test_the_threshold_is_the_largest_number(make_graph, number_format, largest):
    stored = arrays(quantized(make_graph, number_format))
    assert stored["r_scale"] == np.float16(4.0 / largest)
    assert stored["r_zero"] == 0


def test_a_shared_weight_is_stored_once_and_each_layer_has_its_own_dq(make_graph):
    model = quantized(make_graph, "int8")
    assert "w" not in arrays(model)
    readers = [node for node in model.graph.node if "w_quantized" in node.input]
    assert [node.op_type for node in readers] == ["DequantizeLinear", "DequantizeLinear"]


def test_one_input_of_the_residual_addition_is_quantized(make_graph):
    nodes = {name: node for node in quantized(make_graph, "int8").graph.node for name in node.output}
    (addition,) = (node for node in nodes.values() if node.op_type == "Add")
    assert [nodes[name].op_type for name in addition.input] == ["Conv", "DequantizeLinear"]
    # The shortcut and the convolution read one and the same quantized tensor.
    conv = nodes[addition.input[0]]
    assert conv.input[0] == addition.input[1]


def test_layers_that_are_not_chosen_stay_fp16(make_graph):
    model = quantized(make_graph, "int8", slice(0, 1))
    stored = arrays(model)
    assert {"wt", "wg", "w"} <= set(stored)  # the second convolution still reads w
    assert sum(node.op_type == "QuantizeLinear" for node in model.graph.node) == 1
    (addition,) = (node for node in model.graph.node if node.op_type == "Add")
    assert list(addition.input) == ["c", "r"]


def test_no_layer_at_all_is_the_fp16_model(make_graph):
    model = make_graph(GRAPH, b=np.ones(4, np.float32), **weights())
    half = convert_to_fp16(model)
    before = half.SerializeToString(deterministic=True)
    insert_qdq(half, weights(), [], [], {}, CONVERTERS["int8"])
    assert half.SerializeToString(deterministic=True) == before
