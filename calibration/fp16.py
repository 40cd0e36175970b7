"""FP32 → FP16 for the network proper; arithmetic on boxes and scores, and the file's interface, stay FP32.

ONNX Runtime's own converter (`onnxruntime.transformers.float16`) wraps every node that is to stay FP32 in casts to FP16
and back, and rounds the graph's inputs and outputs too: at x = 1333 a box would lose a whole pixel. Here casts lie only
where a tensor enters or leaves the network.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from maskrt.calibration.features import READS_ANY_TYPE, ROI_ALIGN, SHAPE_ONLY, consumers, find_network
from maskrt.errors import ModelError

_ANY_TYPE = SHAPE_ONLY | READS_ANY_TYPE
"""Operators that read a tensor of any type, and whose result has a type of its own."""

_ALWAYS_FP32 = {"Resize": (1, 2)}
"""Inputs that are FP32 whatever the type of the data: of Resize the region and the scales."""


def convert_to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Make a copy of an exported FP32 model with FP16 weights and features; RoIAlign takes and gives FP16.

    Raises:
        ModelError: a weight is too large for FP16.
    """
    original, model = model, onnx.ModelProto()
    model.CopyFrom(original)
    graph = model.graph
    network = find_network(graph)
    inside = {node.name for node in network.nodes}
    weights = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    values = [*graph.input, *graph.value_info]
    floats = weights | {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    readers = consumers(graph)
    nodes: list[onnx.NodeProto] = []
    halves: dict[str, str] = {}  # FP32 tensors that the network reads: their names in FP16
    for node in graph.node:
        if node.name not in inside:
            nodes.append(node)
            continue
        for index, name in enumerate(node.input):
            if name not in floats or name in network.tensors or (node.op_type == ROI_ALIGN and index == 0):
                continue
            if index in _ALWAYS_FP32.get(node.op_type, ()):
                continue
            if name not in halves:
                read_outside = any(reader.name not in inside for reader in readers[name])
                halves[name] = f"{name}_fp16" if name not in weights or read_outside else name
                if name not in weights:
                    nodes.append(_cast(name, halves[name], TensorProto.FLOAT16))
            node.input[index] = halves[name]
        nodes.append(node)
        output = node.output[0]
        leaving = [r for r in readers[output] if r.name not in inside and r.op_type not in _ANY_TYPE]
        if leaving:
            nodes.append(_cast(output, f"{output}_fp32", TensorProto.FLOAT))
        for reader in leaving:
            reader.input[:] = [f"{output}_fp32" if name == output else name for name in reader.input]
    del graph.node[:]
    graph.node.extend(nodes)
    for tensor in list(graph.initializer):
        if tensor.name in halves:
            target = tensor if halves[tensor.name] == tensor.name else graph.initializer.add()
            target.CopyFrom(_half(tensor, halves[tensor.name]))
    for value in graph.value_info:
        if value.name in network.tensors or halves.get(value.name) == value.name:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    return model


def _cast(source: str, target: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"cast_{target}", to=to)


def _half(tensor: TensorProto, name: str) -> TensorProto:
    values = numpy_helper.to_array(tensor)
    largest = float(np.abs(values).max(initial=0))
    if not largest <= float(np.finfo(np.float16).max):
        raise ModelError(f"the weight {tensor.name} reaches {largest:.3g}, which FP16 cannot hold (at most 65504)")
    return numpy_helper.from_array(values.astype(np.float16), name)
