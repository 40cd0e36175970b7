"""Quantize/dequantize pairs (Q/DQ) in the places of `placement`, symmetric, in any number format.

Activations have one scale per tensor, weights one per output channel and are stored quantized. Biases stay FP16.
Scales are FP16, the type that TensorRT then gives the layers' results; a weight is quantized with the rounded scale, so
that the rounding costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from maskrt.calibration.layers import Layer
from maskrt.calibration.placement import Addend

_SMALLEST_SCALE = 2.0**-24  # of FP16; a scale of zero would make infinities


@dataclass(frozen=True)
class NumberFormat:
    """What a quantized value is.

    Attributes:
        dtype: of the numbers in the file.
        largest: the largest of them; the smallest is its negative.
        whole: whether they are whole numbers, so that a ratio is rounded before it is converted.
    """

    dtype: np.dtype
    largest: float
    whole: bool = False


def insert_qdq(
    model: onnx.ModelProto,
    weights: Mapping[str, np.ndarray],
    layers: Sequence[Layer],
    addends: Sequence[Addend],
    thresholds: Mapping[str, float],
    number_format: NumberFormat,
) -> None:
    """Quantize layers of an FP16 model in place.

    Args:
        model: made by `convert_to_fp16`.
        weights: the FP32 weights by name.
        layers: those to quantize.
        addends: of the model; those whose layer is among `layers` are quantized.
        thresholds: for each input of a layer and each addend, the absolute value that the largest number stands for.
        number_format: of the quantized values.
    """
    graph = model.graph
    chosen = {layer.node: layer for layer in layers}
    residual = {addend.node: addend for addend in addends if addend.layer.node in chosen}
    quantized: dict[str, str] = {}  # tensor of the graph → the same, quantized and dequantized
    nodes: list[onnx.NodeProto] = []
    unused: set[str] = set()

    def pair(name: str, threshold: float) -> str:
        if name not in quantized:
            scale = _fp16_scale(np.array(threshold), number_format)
            zero = np.zeros((), number_format.dtype)
            graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
            graph.initializer.append(numpy_helper.from_array(zero, f"{name}_zero"))
            arguments = [f"{name}_scale", f"{name}_zero"]
            nodes.append(_node("QuantizeLinear", [name, *arguments], f"{name}_quantized"))
            nodes.append(_node("DequantizeLinear", [f"{name}_quantized", *arguments], f"{name}_dequantized"))
            quantized[name] = f"{name}_dequantized"
        return quantized[name]

    stored: set[str] = set()
    for node in graph.node:
        if node.name in chosen:
            layer = chosen[node.name]
            axis = _channel_axis(node)
            if layer.weight not in stored:
                stored.add(layer.weight)
                unused.add(node.input[1])
                graph.initializer.extend(_quantize_weight(layer.weight, weights[layer.weight], axis, number_format))
            node.input[0] = pair(node.input[0], thresholds[layer.input])
            # One DQ for each layer, also where layers share a weight: TensorRT fuses it into the layer.
            name = f"{layer.weight}_{node.name}"
            arguments = [f"{layer.weight}_{part}" for part in ("quantized", "scale", "zero")]
            nodes.append(_node("DequantizeLinear", arguments, f"{name}_dequantized", axis=axis))
            node.input[1] = f"{name}_dequantized"
        elif node.name in residual:
            addend = residual[node.name]
            node.input[addend.input_index] = pair(node.input[addend.input_index], thresholds[addend.tensor])
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    unused -= {name for node in nodes for name in node.input}
    left = [tensor for tensor in graph.initializer if tensor.name not in unused]
    del graph.initializer[:]
    graph.initializer.extend(left)


def _fp16_scale(largest: np.ndarray, number_format: NumberFormat) -> np.ndarray:
    return np.maximum(largest / number_format.largest, _SMALLEST_SCALE).astype(np.float16)


def _channel_axis(node: onnx.NodeProto) -> int:
    """Return the axis of the weight along which the output channels lie."""
    if node.op_type in ("ConvTranspose", "MatMul"):
        return 1
    transposed = {entry.name: entry.i for entry in node.attribute}.get("transB", 0)
    return 1 if node.op_type == "Gemm" and not transposed else 0


def _quantize_weight(name: str, values: np.ndarray, axis: int, number_format: NumberFormat) -> list[TensorProto]:
    """Return the quantized weight, its scales and zero points."""
    others = tuple(index for index in range(values.ndim) if index != axis)
    scale = _fp16_scale(np.abs(values).max(axis=others), number_format)
    ratio = values / np.expand_dims(scale.astype(np.float32), others)
    if number_format.whole:
        ratio = np.rint(ratio)
    target = number_format.dtype
    return [
        numpy_helper.from_array(
            np.clip(ratio, -number_format.largest, number_format.largest).astype(target), f"{name}_quantized"
        ),
        numpy_helper.from_array(scale, f"{name}_scale"),
        numpy_helper.from_array(np.zeros(scale.shape, target), f"{name}_zero"),
    ]


def _node(operator: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs, [output], name=f"node_{output}", **attributes)
