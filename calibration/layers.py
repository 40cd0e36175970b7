"""The layers that can be quantized, and the groups in which they are."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import onnx

from maskrt.calibration.features import WEIGHTED, consumers, find_network


@dataclass(frozen=True)
class Layer:
    """A convolution, transposed convolution or matrix product with constant weights.

    Attributes:
        node: its name in the graph.
        operator: "Conv", "ConvTranspose", "Gemm" or "MatMul".
        input, weight: its tensors.
        group: the module of the source model that it belongs to, for example "backbone.body.layer2.0".
        macs_per_position: multiply-accumulates for one position of the output (of the input, for ConvTranspose).
        strides, kernel, pads: of a Conv, per spatial axis (pads: both sides together).
    """

    node: str
    operator: str
    input: str
    weight: str
    group: str
    macs_per_position: int
    kernel: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()

    def macs(self, input_shape: Sequence[int]) -> int:
        """Multiply-accumulates for an input `[N,C,H,W]`, `[N,C]` for a Gemm, `[...,C]` for a MatMul."""
        positions = input_shape[0]
        if self.operator == "MatMul":
            positions = math.prod(input_shape[:-1])
        elif self.operator == "ConvTranspose":
            positions *= math.prod(input_shape[2:])
        elif self.operator == "Conv":
            for size, kernel, stride, pad in zip(input_shape[2:], self.kernel, self.strides, self.pads, strict=True):
                positions *= (size + pad - kernel) // stride + 1
        return positions * self.macs_per_position


def find_layers(graph: onnx.GraphProto) -> list[Layer]:
    """Return the layers of the network, in the graph's order."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    readers = consumers(graph)
    return [
        _layer(node, shapes[node.input[1]], _parameter(node, readers, shapes))
        for node in find_network(graph).nodes
        if node.op_type in WEIGHTED and node.input[1] in shapes
    ]


def _parameter(
    node: onnx.NodeProto, readers: Mapping[str, Sequence[onnx.NodeProto]], constants: Collection[str]
) -> str:
    """Name a parameter of the module: the weight, or where it was transposed by the exporter, the bias added behind."""
    if "." in node.input[1]:
        return node.input[1]
    for reader in readers[node.output[0]]:
        for name in reader.input:
            if reader.op_type == "Add" and name in constants and "." in name:
                return name
    return f"{node.name}.{node.input[1]}.weight"


def _layer(node: onnx.NodeProto, shape: tuple[int, ...], parameter: str) -> Layer:
    attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
    spatial = len(shape) - 2
    pads = attributes.get("pads", [0] * 2 * spatial)
    dilations = attributes.get("dilations", [1] * spatial)
    return Layer(
        node=node.name,
        operator=node.op_type,
        input=node.input[0],
        weight=node.input[1],
        group=parameter.rpartition(".")[0].rpartition(".")[0],
        macs_per_position=math.prod(shape),
        kernel=tuple((size - 1) * step + 1 for size, step in zip(shape[2:], dilations, strict=False)),
        strides=tuple(attributes.get("strides", [1] * spatial)),
        pads=tuple(pads[axis] + pads[axis + spatial] for axis in range(spatial)),
    )


def groups_of(layers: Iterable[Layer]) -> list[str]:
    """Return the groups, in the order in which the network runs them."""
    return list(dict.fromkeys(layer.group for layer in layers))
