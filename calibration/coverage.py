"""How much of a converted model is in its precision: over all operators with weights, whatever they are.

What is not understood is not left out of the total: an operator that nothing here converts counts as kept.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from maskrt.calibration.features import WEIGHTED, producers

_WITHOUT_WEIGHTS = frozenset(
    (
        *("Add", "Sub", "Mul", "Div", "Mod", "Pow", "Min", "Max", "Clip", "Where", "PRelu", "Equal", "Less", "Greater"),
        *("LessOrEqual", "GreaterOrEqual", "And", "Or", "Not", "Concat", "Expand", "Tile", "Pad", "Reshape", "Resize"),
        *("Gather", "GatherElements", "GatherND", "Slice", "ScatterND", "ScatterElements", "Transpose", "Squeeze"),
        *("Unsqueeze", "Flatten", "Cast", "CastLike", "Identity", "TopK", "ReduceMean", "ReduceSum", "Shape", "Range"),
        *("LayerNormalization", "BatchNormalization", "GroupNormalization", "InstanceNormalization", "Sigmoid"),
        *("QuantizeLinear", "DequantizeLinear", "MultilevelRoIAlign", "GridSample"),
        *("GenerateProposals", "DetectionOutput"),
    )
)
"""Operators that may read a large constant (positions, anchors, masks), but do not multiply and add with it."""


@dataclass(frozen=True)
class Coverage:
    """The weights of a model.

    Attributes:
        weights: how many numbers, in all operators with weights.
        converted: how many of them are stored in the precision.
        kept: operator → how many of them compute with FP32 weights.
    """

    weights: int
    converted: int
    kept: dict[str, int]

    def sentence(self, precisions: str) -> str:
        """Say the share, and which operators are not in one of `precisions`."""
        share = self.converted / max(self.weights, 1)
        # 100.0% is said of all of them alone.
        shown = f"{math.floor(1000 * share) / 10:.1f}% of the weights are {precisions}"
        if not self.kept:
            return f"{shown}."
        kept = ", ".join(f"{number} {operator}" for operator, number in self.kept.items())
        return f"{shown}; in FP32 stay {kept}."


def find_coverage(model: onnx.ModelProto) -> Coverage:
    """Look at the weights of a converted model: FP16, or quantized and dequantized before they are used."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    written_by = producers(graph)
    counted: set[str] = set()
    weights = converted = 0
    kept: Counter[str] = Counter()
    for node in graph.node:
        stays = False
        for index, name in enumerate(node.input):
            tensor, is_converted = _weight(name, constants, written_by)
            if tensor is None or not _is_weight(node, index, tensor):
                continue
            stays |= not is_converted
            if tensor.name not in counted:  # layers may share a weight
                counted.add(tensor.name)
                size = math.prod(tensor.dims)
                weights += size
                converted += size if is_converted else 0
        kept[node.op_type] += stays
    return Coverage(weights, converted, {operator: number for operator, number in kept.items() if number})


def _weight(
    name: str, constants: dict[str, TensorProto], written_by: dict[str, onnx.NodeProto]
) -> tuple[TensorProto | None, bool]:
    """Find the constant behind an input, and whether it is stored in a lower precision than FP32."""
    source = written_by.get(name)
    while source is not None and source.op_type in ("DequantizeLinear", "Cast", "Transpose"):
        name = source.input[0]
        source = written_by.get(name)
    tensor = constants.get(name)
    return tensor, tensor is not None and tensor.data_type != TensorProto.FLOAT


def _is_weight(node: onnx.NodeProto, index: int, tensor: TensorProto) -> bool:
    if node.op_type in _WITHOUT_WEIGHTS or tensor.data_type in (TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL):
        return False
    if node.op_type in WEIGHTED and index > 1:  # the bias
        return False
    return len(tensor.dims) >= 2
