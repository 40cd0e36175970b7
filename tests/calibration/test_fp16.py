import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from maskrt.calibration.fp16 import convert_to_fp16
from maskrt.calibration.model_file import custom_operators, load_exported
from maskrt.contract.seal import SEAL, read_metadata_properties
from maskrt.evaluation.metrics.match import Detections, match_detections
from maskrt.runtime import ModelError, Segmenter
from maskrt.shapes.scenes import generate_scene


@pytest.fixture(scope="module")
def fp16_file(shapes_onnx, tmp_path_factory):
    from maskrt.calibration import quantize

    return quantize(shapes_onnx, tmp_path_factory.mktemp("fp16") / "shapes.fp16.onnx", "fp16").path


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = [*graph.value_info, *graph.input, *graph.output]
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


def test_boxes_scores_and_nms_stay_fp32_and_features_become_fp16(fp16_file):
    model = onnx.load(fp16_file)
    types = element_types(model)
    for node in model.graph.node:
        inputs = [types[name] for name in node.input if name]
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "Resize"):
            assert set(inputs) - {TensorProto.INT64} == {TensorProto.FLOAT16}, node.name
        elif node.op_type == "MultilevelRoIAlign":
            assert inputs == [TensorProto.FLOAT] + [TensorProto.FLOAT16] * (len(inputs) - 1)
            assert types[node.output[0]] == TensorProto.FLOAT16
        elif node.op_type == "GenerateProposals":
            assert set(inputs) == {TensorProto.INT32, TensorProto.FLOAT16}
            assert [types[name] for name in node.output] == [TensorProto.INT32, TensorProto.FLOAT]
        elif node.op_type == "DetectionOutput":
            assert inputs[:3] == [TensorProto.FLOAT16, TensorProto.FLOAT16, TensorProto.FLOAT]
        elif node.op_type in ("Softmax", "Sigmoid", "Exp", "TopK", "Div", "Sub"):
            assert TensorProto.FLOAT16 not in inputs, node.name


def test_interface_functions_and_plugin_nodes_survive(shapes_onnx, fp16_file):
    original, converted = onnx.load(shapes_onnx), onnx.load(fp16_file)
    assert custom_operators(converted) == {"DetectionOutput": 1, "GenerateProposals": 1, "MultilevelRoIAlign": 2}
    assert len(converted.functions) == 4
    assert list(converted.functions) == list(original.functions)
    assert list(converted.graph.input) == list(original.graph.input)
    assert list(converted.graph.output) == list(original.graph.output)
    attributes = {entry.name: entry for node in converted.graph.node if node.domain for entry in node.attribute}
    assert attributes["plugin_version"].s == b"1"
    assert fp16_file.stat().st_size < 0.55 * shapes_onnx.stat().st_size


def test_detections_are_those_of_fp32_for_batches_of_any_size(shapes_onnx, fp16_file):
    single, half = Segmenter(shapes_onnx), Segmenter(fp16_file)
    assert half.metadata.precision == "fp16"
    images = [generate_scene(number, "test").image for number in (1, 2, 3)]
    pairs = 0
    for batch in (images[:1], images[1:]):
        for a, b in zip(single.predict(batch), half.predict(batch), strict=True):
            sure = a[a.scores > 0.3]
            matching = match_detections(
                Detections(sure.boxes, sure.scores, sure.labels), Detections(b.boxes, b.scores, b.labels)
            )
            assert len(matching.missing) == 0
            left, right = matching.pairs.T
            np.testing.assert_allclose(b.boxes[right], sure.boxes[left], atol=1.0)
            np.testing.assert_allclose(b.scores[right], sure.scores[left], atol=0.02)
            pairs += len(left)
    assert pairs > 5


GRAPH = """
test (float[1,3,8,8] x) => (float[1,4,8,8] y, int64[4] s)
{
    n = Neg (x)
    a = Conv <pads = [1, 1, 1, 1]> (n, w, b)
    r = Relu (a)
    s = Shape (r)
    y = Sigmoid (r)
    p = Mul (n, c)
}
"""


def constants(largest: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((4, 3, 3, 3)).astype(np.float32)
    weight[0, 0, 0, 0] = largest
    return {"w": weight, "b": np.ones(4, np.float32), "c": np.float32([2])}


def test_casts_lie_only_where_tensors_enter_and_leave(make_graph):
    model = make_graph(GRAPH, **constants())
    converted = convert_to_fp16(model)
    onnx.checker.check_model(converted, full_check=True)
    assert [node.op_type for node in converted.graph.node] == [
        *["Neg", "Cast", "Conv", "Relu", "Cast", "Shape", "Sigmoid", "Mul"]
    ]
    assert {tensor.name: tensor.data_type for tensor in converted.graph.initializer} == {
        "w": TensorProto.FLOAT16,
        "b": TensorProto.FLOAT16,
        "c": TensorProto.FLOAT,
    }
    x = np.random.default_rng(1).standard_normal((1, 3, 8, 8)).astype(np.float32)
    expected, got = (
        onnxruntime.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"]).run(["y"], {"x": x})[0]
        for m in (model, converted)
    )
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=0.01)


def test_the_original_is_left_as_it_is(make_graph):
    model = make_graph(GRAPH, **constants())
    before = model.SerializeToString(deterministic=True)
    convert_to_fp16(model)
    assert model.SerializeToString(deterministic=True) == before


def test_a_constant_that_the_box_arithmetic_reads_too_stays_fp32_there(make_graph):
    text = GRAPH.replace("Mul (n, c)", "Mul (b, c)")
    converted = convert_to_fp16(make_graph(text, **constants()))
    onnx.checker.check_model(converted, full_check=True)
    types = {tensor.name: tensor.data_type for tensor in converted.graph.initializer}
    assert types["b"] == TensorProto.FLOAT
    assert types["b_fp16"] == TensorProto.FLOAT16


def test_scales_of_a_resize_stay_fp32(make_graph):
    graph = """
    test (float[1,3,8,8] x) => (float[1,4,16,16] y)
    {
        a = Conv <pads = [1, 1, 1, 1]> (x, w, b)
        r = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"> (a, , s)
        y = Sigmoid (r)
    }
    """
    converted = convert_to_fp16(
        make_graph(graph, **{**constants(), "c": np.float32([1]), "s": np.float32([1, 1, 2, 2])})
    )
    onnx.checker.check_model(converted, full_check=True)
    types = {tensor.name: tensor.data_type for tensor in converted.graph.initializer}
    assert (types["s"], types["w"]) == (TensorProto.FLOAT, TensorProto.FLOAT16)


def test_a_weight_that_fp16_cannot_hold(make_graph):
    with pytest.raises(ModelError, match=r"the weight w reaches 7e\+04, which FP16 cannot hold"):
        convert_to_fp16(make_graph(GRAPH, **constants(largest=70000.0)))


def test_the_converted_file_has_a_seal_of_its_own(shapes_onnx, fp16_file):
    seals = [
        [entry.value for entry in onnx.load(path).metadata_props if entry.key == SEAL]
        for path in (shapes_onnx, fp16_file)
    ]
    assert [len(seal) for seal in seals] == [1, 1]
    assert seals[0] != seals[1]
    assert SEAL not in read_metadata_properties(fp16_file)  # which checks it


def test_an_fp16_file_is_not_converted_again(fp16_file):
    with pytest.raises(ModelError, match="is of precision fp16 already"):
        load_exported(fp16_file)
