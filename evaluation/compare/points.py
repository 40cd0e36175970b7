"""The places in an exported file where it is compared with its source model, and a copy of the file that shows them.

A place is the output of a layer with weights or of a RoIAlign. Such a layer has the name of the module that its weight
belongs to, at every precision: a quantized weight is traced back through its dequantization. Nothing else about names
is relied upon.

Behind the proposals, raw tensors have a row per RoI, and RoIs swap places as soon as two scores nearly tie. The copy
therefore takes the RoIs of both heads as inputs (teacher forcing): given the reference's, its rows are the reference's
rows, and what differs is the network, not the order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import onnx
from onnx import TensorProto, helper

from maskrt.errors import ModelError

Rows = Literal["proposals", "boxes"]
"""What a tensor behind RoIAlign has a row for: a RoI of the box head, or of the mask head."""

PROPOSALS: Rows = "proposals"

FORCED: dict[Rows, str] = {"proposals": "forced_proposals", "boxes": "forced_boxes"}
"""The inputs of the copy: RoIs of the box head `[1,R,4]` and of the mask head `[1,K,4]`, float32, canvas pixels."""

POOLINGS: dict[Rows, str] = {"proposals": "RoIAlign of the box head", "boxes": "RoIAlign of the mask head"}
"""Names of the RoIAligns, which are no modules of every framework's, in the order in which they run."""

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
        name: for people: the module, with `[call]` where the module runs more than once.
        module: path of the module of the source model whose output it is; of a RoIAlign its name in `POOLINGS`.
        call: which of the module's calls within one inference, from 0.
        tensor: name in the ONNX graph.
        rows: what its rows belong to, RoIs of the box or of the mask head; None for a feature map.
        chosen: whether it is always compared: FPN levels, what the heads predict, and pooled features. The others only
            serve to find the layer where a difference begins.
        upstream: names of the points that it depends on, itself included; given the RoIs, not on how they came about.
    """

    name: str
    module: str
    call: int
    tensor: str
    rows: Rows | None
    chosen: bool
    upstream: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Points:
    """All places of a file, in the order of its graph.

    Attributes:
        network: layers and RoIAligns.
        proposals: the tensor `[1,R,4]` with the file's own proposals.
        capacity: R and K, the number of rows of both inputs of the copy.
    """

    network: tuple[Point, ...]
    proposals: str
    capacity: dict[Rows, int]


def find_points(graph: onnx.GraphProto) -> Points:
    """The places of an exported graph of any precision.

    Raises:
        ModelError: it is not a graph that maskrt exported.
    """
    producers = {name: node for node in graph.node for name in node.output}
    pools = [node for node in graph.node if node.op_type == "MultilevelRoIAlign"]
    selections = [node for node in graph.node if node.op_type == "BatchedNMS"]
    if len(selections) != 2 or not 1 <= len(pools) <= 2:
        raise ModelError(
            "the ONNX file is damaged: it has no RoIAlign and NMS of maskrt. Export it again with `maskrt export`."
        )
    features = {_layer_behind(name, producers) for name in pools[0].input[1:]}
    inner = _read_by_layers(graph)
    calls: Counter[str] = Counter()
    found: list[Point] = []
    rows: Rows | None = None
    for node in graph.node:
        if node in pools:
            rows = "proposals" if node is pools[0] else "boxes"
            module = POOLINGS[rows]
            found.append(Point(module, module, 0, node.output[0], rows, chosen=True))
        elif node.op_type in _LAYERS:
            module = _module_of(node, producers)
            tensor = node.output[0]
            chosen = tensor in features or tensor not in inner
            found.append(Point(module, module, calls[module], tensor, rows, chosen))
            calls[module] += 1
    named = [replace(p, name=f"{p.name}[{p.call}]") if calls[p.module] > 1 else p for p in found]
    limits = [helper.get_node_attr_value(node, "max_output") for node in selections]
    return Points(_with_upstream(named, graph), pools[0].input[0], {"proposals": limits[0], "boxes": limits[1]})


def expose(model: onnx.ModelProto, tensors: Iterable[str]) -> onnx.ModelProto:
    """A copy of the model whose outputs are `tensors` alone, and whose heads look at the RoIs given as `FORCED`."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    pools = [node for node in graph.node if node.op_type == "MultilevelRoIAlign"]
    for node, name in zip(pools, FORCED.values(), strict=False):
        node.input[0] = name
        graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", None, 4]))
    del graph.output[:]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)  # ONNX Runtime finds the types itself
    return copy


def _with_upstream(points: Iterable[Point], graph: onnx.GraphProto) -> tuple[Point, ...]:
    by_tensor = {point.tensor: point for point in points}
    upstream: dict[str, frozenset[str]] = {}
    nothing: frozenset[str] = frozenset()
    for node in graph.node:
        read = node.input[1:] if node.op_type == "MultilevelRoIAlign" else node.input
        names = nothing.union(*(upstream.get(name, nothing) for name in read))
        for output in node.output:
            own = {by_tensor[output].name} if output in by_tensor else nothing
            upstream[output] = names | own
    return tuple(replace(point, upstream=upstream[tensor]) for tensor, point in by_tensor.items())


def _module_of(layer: onnx.NodeProto, producers: dict[str, onnx.NodeProto]) -> str:
    """`backbone.body.conv1` for a weight stored as `backbone.body.conv1.weight…`, behind a dequantization or not."""
    name = layer.input[1]
    while name in producers:
        name = producers[name].input[0]
    return name.rpartition(".weight")[0] or name


def _layer_behind(tensor: str, producers: dict[str, onnx.NodeProto]) -> str:
    """The output of the layer that `tensor` is a copy of, in another type or order."""
    while tensor in producers and producers[tensor].op_type in _BETWEEN_LAYERS:
        tensor = producers[tensor].input[0]
    return tensor


def _read_by_layers(graph: onnx.GraphProto) -> set[str]:
    """The tensors that a layer or a RoIAlign reads as features, directly or through operators between layers."""
    producers = {name: node for node in graph.node for name in node.output}
    pending: list[str] = []
    for node in graph.node:
        if node.op_type in _LAYERS:
            pending.append(node.input[0])
        elif node.op_type == "MultilevelRoIAlign":
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
