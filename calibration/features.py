"""Which part of an exported graph is the network proper, as opposed to the arithmetic on boxes and scores.

The network is what may be computed in lower precision: convolutions, matrix products, and what lies between them. It is
found by following the tensors from the layers with weights, not by names, so that it covers every backbone.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import onnx

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""Layers with weights: input 0 is the activation, input 1 the weight, input 2 the bias.

A linear layer on a feature map, as transformers and ConvNeXt have them, is a MatMul with a bias added behind it.
"""

SHAPE_ONLY = frozenset({"Shape", "Size"})
"""Operators that read how large a tensor is, and neither its values nor its type."""

ROI_ALIGN = "MultilevelRoIAlign"

READS_ANY_TYPE = frozenset({"GenerateProposals", "DetectionOutput"})
"""Custom operators that read what layers write, in any floating-point type, and compute in FP32."""

_ELEMENTWISE = frozenset(
    {"Relu", "Clip", "HardSigmoid", "HardSwish", "LeakyRelu", "Add", "Mul", "MaxPool", "AveragePool"}
    | {"GlobalAveragePool", "ReduceMean", "Resize", "Gelu"}
)
"""Operators between layers. Sigmoid and Softmax are not among them: they make scores."""

_MOVING = frozenset({"Reshape", "Transpose", "Flatten", "GatherElements"})
"""Operators that only move values. What follows them is a layer, or arithmetic on boxes and scores."""


@dataclass(frozen=True)
class Network:
    """The nodes of the network, and the tensors that they write.

    Attributes:
        nodes: in the graph's order.
        tensors: floating-point tensors written by these nodes.
        rois: for each tensor that has one row per RoI, the tensor `[B,R,4]` with these RoIs.
    """

    nodes: tuple[onnx.NodeProto, ...]
    tensors: frozenset[str]
    rois: dict[str, str]


def find_network(graph: onnx.GraphProto) -> Network:
    """Follow the tensors forward from layers with weights and from RoIAlign."""
    initializers = {tensor.name for tensor in graph.initializer}
    matrices = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 2}
    features: set[str] = set()  # written by a layer or an operator between layers
    moved: set[str] = set()
    rois: dict[str, str] = {}
    nodes = []
    for node in graph.node:
        inside = features | moved
        weights = matrices if node.op_type == "MatMul" else initializers
        if node.op_type in WEIGHTED and node.input[1] in weights:
            target = features
        elif node.op_type == ROI_ALIGN and set(node.input[1:]) <= inside:
            target = features
            rois[node.output[0]] = node.input[0]
        elif node.op_type in _ELEMENTWISE and _is_between_layers(node, features, initializers):
            target = features
        elif node.op_type in _MOVING and node.input[0] in inside:
            target = moved
        else:
            continue
        target.add(node.output[0])
        nodes.append(node)
        if node.input[0] in rois:
            rois[node.output[0]] = rois[node.input[0]]
    return Network(tuple(nodes), frozenset(features | moved), rois)


def _is_between_layers(node: onnx.NodeProto, features: set[str], initializers: set[str]) -> bool:
    if node.op_type in ("Add", "Mul"):
        return any(name in features for name in node.input) and set(node.input) <= features | initializers
    return node.input[0] in features


def producers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """Return the node that writes each tensor."""
    return {name: node for node in graph.node for name in node.output if name}


def consumers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """Return the nodes that read each tensor."""
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in dict.fromkeys(node.input):
            if name:
                readers[name].append(node)
    return readers
