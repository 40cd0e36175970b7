"""Where TensorRT wants quantization: the inputs of each layer, and one input of each residual addition.

TensorRT fuses convolution + addition + ReLU into one INT8 kernel when the convolution's own result reaches the addition
unquantized and the other addend quantized (TensorRT developer guide, "Q/DQ layer-placement recommendations").
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import onnx

from maskrt.calibration.features import SHAPE_ONLY, consumers, find_network, producers
from maskrt.calibration.layers import Layer


@dataclass(frozen=True)
class Addend:
    """The quantized input of a residual addition, and the layer that the addition is fused with."""

    node: str
    input_index: int
    tensor: str
    layer: Layer


def find_addends(graph: onnx.GraphProto, layers: Sequence[Layer]) -> list[Addend]:
    """For each addition of a layer's result and another tensor of the network: that other tensor.

    Where both come from layers (a ResNet block with a convolution in its shortcut), the first is the one that is fused:
    PyTorch's blocks compute `out += shortcut`.
    """
    by_node = {layer.node: layer for layer in layers}
    written_by, readers = producers(graph), consumers(graph)
    network = find_network(graph)
    addends = []
    for node in network.nodes:
        if node.op_type != "Add" or not set(node.input) <= network.tensors:
            continue
        for index, name in enumerate(node.input):
            source = written_by[name].name
            if source in by_node and sum(reader.op_type not in SHAPE_ONLY for reader in readers[name]) == 1:
                addends.append(Addend(node.name, 1 - index, node.input[1 - index], by_node[source]))
                break
    return addends


def calibrated_tensors(layers: Collection[Layer], addends: Collection[Addend]) -> list[str]:
    """Return the tensors whose range has to be known."""
    return list(dict.fromkeys([layer.input for layer in layers] + [addend.tensor for addend in addends]))
