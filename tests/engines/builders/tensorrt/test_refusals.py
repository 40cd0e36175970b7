"""What TensorRT does not take, with the name of operator and node: asked of a real parser."""

import dataclasses
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from maskrt.engines.builders.tensorrt.builder import TENSORRT_RTX
from maskrt.engines.builders.tensorrt.refusals import (
    _LIMITS,
    Refusal,
    beyond_the_kernels,
    find_refusals,
    sentence,
    without_kernel,
)
from maskrt.engines.builders.tensorrt.remedies import REMEDIES
from maskrt.plugins.proposal_attributes import ProposalAttributes

trt: Any = pytest.importorskip("tensorrt_rtx")

CONSTANTS = {
    "boxes": np.zeros((1, 4, 4), np.float32),
    "scores": np.zeros((1, 1, 4), np.float32),
    "rois": np.zeros((1, 4), np.float32),
    "batch": np.zeros(1, np.int64),
    "scales": np.array([1, 1, 2, 2], np.float32),
    "theta": np.zeros((1, 2, 3), np.float32),
    "size": np.array([1, 1, 4, 4]),
    "size2": np.array([4, 4]),
    "columns": np.zeros((1, 16, 1), np.float32),
    "kept": np.array([True]),
    "i": np.zeros((1, 4), np.uint8),
    "bytes": np.zeros((1, 1, 3, 3), np.uint8),
    "scale": np.float32(1),
    "zero": np.uint8(0),
    "weights": np.zeros((4, 4, 3, 3), np.float32),
    "offsets": np.zeros((1, 18, 6, 6), np.float32),
    "rois5": np.zeros((1, 5), np.float32),
    "indices": np.zeros((1, 4, 8, 8), np.int64),
    "matrix": np.zeros((1, 8), np.float32),
    "step": np.array(2),
}


def model(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    first = helper.make_node("Relu", ["x"], ["r"], name="backbone.relu")
    graph = helper.make_graph(
        [first, *nodes],
        "test",
        [helper.make_tensor_value_info("x", 1, [1, 4, 8, 8])],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(value, name) for name, value in CONSTANTS.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("mine", 1)])


@pytest.mark.parametrize(
    ("operator", "inputs", "attributes"),
    [
        ("Det", ["r"], {}),
        ("Unique", ["r"], {}),
        ("BitShift", ["r", "r"], {"direction": "LEFT"}),
        ("SomethingNew", ["r"], {}),
        ("MyOperator", ["r"], {"domain": "mine"}),
        ("Resize", ["r", "", "scales"], {"mode": "cubic", "coordinate_transformation_mode": "tf_crop_and_resize"}),
    ],
)
def test_operator_and_node_are_named(operator: str, inputs: list[str], attributes: dict[str, Any]) -> None:
    node = helper.make_node(operator, inputs, ["y"], name="backbone.layer3.odd", **attributes)
    (refusal, *_) = find_refusals(trt, model(node).SerializeToString())
    assert (refusal.operator, refusal.node) == (operator, "backbone.layer3.odd")
    assert "false" not in str(refusal).split()
    assert f"the operator {operator} of the node backbone.layer3.odd" in sentence([refusal])


GIVEN: dict[str, tuple[list[str], dict[str, Any]]] = {
    "AffineGrid": (["theta", "size"], {}),
    "Bernoulli": (["r"], {}),
    "BitShift": (["i", "i"], {"direction": "LEFT"}),
    "BitwiseAnd": (["i", "i"], {}),
    "BitwiseNot": (["i"], {}),
    "BitwiseOr": (["i", "i"], {}),
    "BitwiseXor": (["i", "i"], {}),
    "Col2Im": (["columns", "size2", "size2"], {}),
    "Compress": (["r", "kept"], {}),
    "ConvInteger": (["bytes", "bytes"], {}),
    "DFT": (["r"], {}),
    "DeformConv": (["r", "weights", "offsets"], {}),
    "DynamicQuantizeLinear": (["r"], {}),
    "MatMulInteger": (["bytes", "bytes"], {}),
    "MaxRoiPool": (["r", "rois5"], {"pooled_shape": [2, 2]}),
    "MaxUnpool": (["r", "indices"], {"kernel_shape": [2, 2]}),
    "Multinomial": (["matrix"], {}),
    "NonZero": (["r"], {}),
    "QLinearConv": (["bytes", "scale", "zero", "bytes", "scale", "zero", "scale", "zero"], {}),
    "QLinearMatMul": (["bytes", "scale", "zero", "bytes", "scale", "zero", "scale", "zero"], {}),
    "Resize": (["r", "", "scales"], {"mode": "linear", "antialias": 1}),
    "RoiAlign": (["r", "rois", "batch"], {}),
    "STFT": (["matrix", "step"], {}),
    "SequenceAt": (["r", "step"], {}),
    "SequenceConstruct": (["r", "r"], {}),
    "SplitToSequence": (["r"], {}),
    "Unique": (["r"], {}),
}
"""Inputs and attributes of the operators that have a remedy, as a network may have them."""


@pytest.mark.parametrize("operator", GIVEN)
def test_each_remedy_is_of_an_operator_that_is_refused(operator: str) -> None:
    inputs, attributes = GIVEN[operator]
    node = helper.make_node(operator, inputs, ["y"], name="backbone.odd", **attributes)
    refusals = find_refusals(trt, model(node).SerializeToString())
    assert (refusals[0].operator, refusals[0].node) == (operator, "backbone.odd")
    text = sentence(refusals)
    assert f"For {operator}, {REMEDIES[operator]}." in text
    assert "plugin was not" not in text.lower()


def test_all_remedies_are_tried() -> None:
    of_outputs = {"MaxPool", "NonMaxSuppression"}  # below: refused for its second output, and by the builder alone
    assert REMEDIES.keys() == GIVEN.keys() | of_outputs | _LIMITS.keys()


def test_indices_of_a_pooling() -> None:
    node = helper.make_node("MaxPool", ["r"], ["y", "z"], name="backbone.pool", kernel_shape=[2, 2])
    refusals = find_refusals(trt, model(node).SerializeToString())
    assert "For MaxPool, do without its second output, the indices." in sentence(refusals)


def test_one_remedy_for_several() -> None:
    text = sentence([Refusal("NonZero", "a", ""), Refusal("Unique", "b", ""), Refusal("Odd", "c", "")])
    assert "For NonZero and Unique, keep all elements" in text
    assert "For Odd, replace it by operators that it takes." in text


def test_what_it_takes_is_not_refused() -> None:
    node = helper.make_node("Sigmoid", ["r"], ["y"], name="backbone.last")
    assert find_refusals(trt, model(node).SerializeToString()) == []


def test_what_the_parser_takes_but_nothing_runs() -> None:
    operators = {"Relu": "backbone.relu", "NonMaxSuppression": "heads.nms"}
    (refusal,) = without_kernel(operators, TENSORRT_RTX.runs_not)
    assert refusal == Refusal("NonMaxSuppression", "heads.nms", "it has none that runs")
    assert without_kernel(operators, ()) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"cell_anchors": [1] * 9, "strides": [4] * 9, "offsets": [0.0] * 9, "anchors": [0.0] * 36}, "9 levels"),
        ({"pre_nms_top_k": 10_000}, "10000 anchors of a level before NMS, of at most 8192"),
        ({"nms_by": "rank"}, "nms_by must be one of"),
        ({"shape": "round"}, "unexpected keyword argument 'shape'"),
    ],
)
def test_more_than_the_kernels_can(changes: dict[str, Any], reason: str | None) -> None:
    values: dict[str, Any] = {field.name: 1.0 for field in dataclasses.fields(ProposalAttributes)}
    values |= {"cell_anchors": [1], "strides": [4], "offsets": [0.0], "anchors": [0.0] * 4, "weights": [1.0] * 4}
    values |= {
        "plugin_version": "1",
        "plugin_namespace": "",
        "top_k_by": "logit",
        "nms_by": "logit",
        "weights_operation": "divide",
    }
    values |= {"pre_nms_top_k": 1000, "post_nms_top_k": 1000} | changes
    layers = {"rpn.proposals": "GenerateProposals", "keypoints": "DecodeKeypoints"}
    refusals = beyond_the_kernels(layers, {"rpn.proposals": values, "keypoints": {}})
    if reason is None:
        assert refusals == []
    else:
        (refusal,) = refusals
        assert refusal.node == "rpn.proposals"
        assert reason in sentence(refusals)


def test_many_are_counted() -> None:
    text = sentence([Refusal("Det", str(number), "") for number in range(9)])
    assert text.count("the operator Det") == 3
    assert "and 6 more" in text


@pytest.mark.parametrize(
    ("operator", "values", "reason"),
    [
        ("MultilevelRoIAlign", {"scales": [0.25] * 9, "level_thresholds": [1.0] * 8}, "1 to 8 scales, but there are 9"),
        ("MultilevelRoIAlign", {"scales": [0.25], "mode": "max", "sampling_ratio": 0}, "needs a sampling_ratio"),
        ("DetectionOutput", {"max_detections": 1 << 21}, "max_detections must be within 1 and 1048576, but is 2097152"),
        ("DetectionOutput", {"activation": "relu"}, "activation must be one of"),
    ],
)
def test_other_operators_beyond_the_kernels(operator: str, values: dict[str, Any], reason: str) -> None:
    whole: dict[str, dict[str, Any]] = {
        "MultilevelRoIAlign": {"output_height": 7, "output_width": 7, "sampling_ratio": 2, "scales": [0.25] * 8}
        | {"level_thresholds": [1.0] * 7, "coordinate_transformation_mode": "half_pixel", "mode": "avg"},
        "DetectionOutput": {"activation": "softmax", "background": "first", "class_agnostic": 0, "weights": [1.0] * 4}
        | {"weights_operation": "divide", "min_log_scale": -1.0, "max_log_scale": 1.0, "min_side": 0.0}
        | {"min_side_inclusive": 1, "max_detections": 100},
    }
    given = {"plugin_version": "1", "plugin_namespace": "", **whole[operator]}
    assert beyond_the_kernels({"node": operator}, {"node": given}) == []
    if "scales" in values:
        given["level_thresholds"] = []
    (refusal,) = beyond_the_kernels({"node": operator}, {"node": given | values})
    assert reason in sentence([refusal])
