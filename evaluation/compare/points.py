"""The places in an exported file where it is compared with its source model, and a copy of the file that shows them.

A place is the output of a layer with weights or of a RoIAlign. Such a layer has the name of the module that its weight
belongs to, at every precision: a quantized weight is traced back through its dequantization. Nothing else about names
is relied upon.

Behind the proposals, raw tensors have a row per RoI, and RoIs swap places as soon as two scores nearly tie. The copy
therefore takes the RoIs of every RoIAlign as inputs (teacher forcing): given the reference's, its rows are the
reference's rows, and what differs is the network, not the order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import onnx
from onnx import TensorProto, helper

from maskrt.errors import ModelError

PROPOSALS = "proposals"
"""The name of the place where the file's own proposals are compared with the reference's."""

_ROI_ALIGN = "MultilevelRoIAlign"
_LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm"})
_BETWEEN_LAYERS = frozenset(
    {"Relu", "Clip", "HardSigmoid", "HardSwish", "LeakyRelu", "Add", "Mul", "MaxPool", "AveragePool", "Resize"}
    | {"GlobalAveragePool", "ReduceMean", "Reshape", "Transpose", "Flatten", "GatherElements"}
    | {"Cast", "QuantizeLinear", "DequantizeLinear"}
)


@dataclass(frozen=True)
class Point:
    """A place in the network.

    Attributes:
        name: for people: the module, with `[call]` where the module runs more than once, or the RoIAlign.
        module: path of the module of the source model whose output it is; None for a RoIAlign.
        call: which of the module's calls within one inference, from 0.
        tensor: name in the ONNX graph.
        pooling: number of the RoIAlign whose RoIs its rows belong to, in the order in which they run; None for a
            feature map.
        chosen: whether it is always compared: FPN levels, what the heads predict, and pooled features. The others only
            serve to find the layer where a difference begins.
        upstream: names of the points that it depends on, itself included; given the RoIs, not on how they came about.
    """

    name: str
    module: str | None
    call: int
    tensor: str
    pooling: int | None
    chosen: bool
    upstream: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Points:
    """All places of a file, in the order of its graph.

    Attributes:
        network: layers and RoIAligns.
        proposals: the tensor [1, R, 4] with the file's own proposals.
        capacities: for each RoIAlign, the number of rows of its input: R proposals, or K detections.
    """

    network: tuple[Point, ...]
    proposals: str
    capacities: tuple[int, ...]


def forced_rois(pooling: int) -> str:
    """Name the input of the copy with the RoIs of a RoIAlign: [1, N, 4] float32 xyxy, canvas pixels."""
    return f"forced_rois_{pooling}"


def find_points(graph: onnx.GraphProto) -> Points:
    """Find the places of an exported graph of any precision.

    Raises:
        ModelError: it is not a graph that maskrt exported.
    """
    producers = {name: node for node in graph.node for name in node.output}
    pools = [node for node in graph.node if node.op_type == _ROI_ALIGN]
    proposing = [node for node in graph.node if node.op_type == "GenerateProposals"]
    detecting = [node for node in graph.node if node.op_type == "DetectionOutput"]
    if len(proposing) != 1 or len(detecting) != 1 or not pools:
        raise ModelError(
            "the ONNX file is damaged, or of an earlier maskrt: it has no RoIAlign, proposals and detections of this "
            "one. Export it again with `maskrt export`."
        )
    of_proposals = helper.get_node_attr_value(proposing[0], "post_nms_top_k")
    of_detections = helper.get_node_attr_value(detecting[0], "max_detections")
    features = {_layer_behind(name, producers) for name in pools[0].input[1:]}
    inner = _read_by_layers(graph)
    calls: Counter[str] = Counter()
    found: list[Point] = []
    capacities: list[int] = []
    detected = False
    for node in graph.node:
        tensor = node.output[0]
        if node is detecting[0]:
            detected = True
        elif node.op_type == _ROI_ALIGN:
            name = f"RoIAlign of {'detections' if detected else 'proposals'}"
            found.append(Point(name, None, calls[name], tensor, len(capacities), chosen=True))
            capacities.append(of_detections if detected else of_proposals)
            calls[name] += 1
        elif node.op_type in _LAYERS:
            module = _module_of(node, producers)
            chosen = tensor in features or tensor not in inner
            found.append(Point(module, module, calls[module], tensor, None, chosen))
            calls[module] += 1
    named = [replace(p, name=f"{p.name}[{p.call}]") if calls[p.name] > 1 else p for p in found]
    return Points(_with_upstream(named, graph), pools[0].input[0], tuple(capacities))


def expose(model: onnx.ModelProto, tensors: Iterable[str]) -> onnx.ModelProto:
    """Copy the model, with `tensors` alone as outputs, and RoIAligns that look at the RoIs of `forced_rois`."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    for number, node in enumerate(node for node in graph.node if node.op_type == _ROI_ALIGN):
        node.input[0] = name = forced_rois(number)
        graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", None, 4]))
    del graph.output[:]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)  # ONNX Runtime finds the types itself
    return copy


def _with_upstream(points: Sequence[Point], graph: onnx.GraphProto) -> tuple[Point, ...]:
    """Add to the points what they depend on, and the RoIAlign among it."""
    by_tensor = {point.tensor: point for point in points}
    poolings = {point.name: point.pooling for point in points if point.pooling is not None}
    upstream: dict[str, frozenset[str]] = {}
    nothing: frozenset[str] = frozenset()
    for node in graph.node:
        read = node.input[1:] if node.op_type == _ROI_ALIGN else node.input
        names = nothing.union(*(upstream.get(name, nothing) for name in read))
        for output in node.output:
            own = {by_tensor[output].name} if output in by_tensor else nothing
            upstream[output] = names | own
    return tuple(
        replace(
            point,
            upstream=upstream[tensor],
            pooling=next((number for name, number in poolings.items() if name in upstream[tensor]), None),
        )
        for tensor, point in by_tensor.items()
    )


def _module_of(layer: onnx.NodeProto, producers: dict[str, onnx.NodeProto]) -> str:
    """Find `backbone.body.conv1` for a weight stored as `backbone.body.conv1.weight…`, dequantized or not."""
    name = layer.input[1]
    while name in producers:
        name = producers[name].input[0]
    return name.rpartition(".weight")[0] or name


def _layer_behind(tensor: str, producers: dict[str, onnx.NodeProto]) -> str:
    """Find the output of the layer that `tensor` is a copy of, in another type or order."""
    while tensor in producers and producers[tensor].op_type in _BETWEEN_LAYERS:
        tensor = producers[tensor].input[0]
    return tensor


def _read_by_layers(graph: onnx.GraphProto) -> set[str]:
    """Find the tensors that a layer or a RoIAlign reads as features, directly or through operators between layers."""
    producers = {name: node for node in graph.node for name in node.output}
    pending: list[str] = []
    for node in graph.node:
        if node.op_type in _LAYERS:
            pending.append(node.input[0])
        elif node.op_type == _ROI_ALIGN:
            pending += node.input[1:]
    inner: set[str] = set()
    while pending:
        tensor = pending.pop()
        if tensor not in inner:
            inner.add(tensor)
            node = producers.get(tensor)
            if node is not None and node.op_type in _BETWEEN_LAYERS:
                pending += node.input
    return inner
