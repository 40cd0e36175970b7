"""The nodes of an exported graph, grouped into kernels about as TensorRT fuses them, and into a detector's stages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import onnx

from maskrt.calibration.features import SHAPE_ONLY, WEIGHTED, consumers, producers
from maskrt.contract.tensors import DOMAIN
from maskrt.errors import ModelError
from maskrt.tools.estimates.custom import OPERATORS
from maskrt.tools.estimates.launches import Launch
from maskrt.tools.estimates.shapes import Shapes

_RENAMING = frozenset({"Reshape", "Unsqueeze", "Squeeze", "Flatten", "Identity"})
"""Operators that give a tensor another name or shape, and move nothing."""

_ALONE = frozenset(
    {"MaxPool", "AveragePool", "GlobalAveragePool", "Resize", "ReduceMean", "ReduceSum", "Softmax", "TopK"}
    | {"GatherElements", "GatherND", "LayerNormalization", "Concat"}
)
"""A kernel each. All others are computed number by number, within the kernel whose result they read."""

NORMALIZATION, CONVOLUTIONS, POOLING = "normalization, padding", "backbone, pyramid: convolutions", "max pooling"
PYRAMID, RPN_HEAD, BOX_HEAD = "pyramid: resizing, adding", "RPN head", "box head"
MASK_HEAD, MASK_CHOICE = "mask or keypoint head", "the detected class's masks"
_ORDER = (
    *(NORMALIZATION, CONVOLUTIONS, POOLING, PYRAMID, RPN_HEAD, "GenerateProposals", "RoIAlign of proposals", BOX_HEAD),
    *("DetectionOutput", "RoIAlign of detections", MASK_HEAD, MASK_CHOICE, "DecodeKeypoints"),
)
MATRIX_STAGES = (CONVOLUTIONS, RPN_HEAD, BOX_HEAD, MASK_HEAD)
"""Whose time is that of convolutions and matrix products."""


def stages_of(graph: onnx.GraphProto, shapes: Shapes) -> Mapping[str, Sequence[Launch]]:
    """Group the kernels of a graph by stage, in the order in which they run.

    Raises:
        ModelError: the graph has operators of ours that cannot be estimated, or lacks those of a detector.
    """
    ancestors = _Ancestors(graph)
    found: defaultdict[str, list[Launch]] = defaultdict(list)
    for kernel in _fuse(graph):
        found[ancestors.stage(kernel[0])].append(_measure(kernel, graph, shapes))
    return {stage: found[stage] for stage in _ORDER if stage in found}


def _fuse(graph: onnx.GraphProto) -> list[list[onnx.NodeProto]]:
    """Group nodes into kernels: what is computed number by number joins the latest kernel whose result it reads."""
    kernels: list[list[onnx.NodeProto]] = []
    kernel_of: dict[str, int] = {}
    of_shapes = {tensor.name for tensor in graph.initializer}  # what the host computes, or is known before
    for node in graph.node:
        read = [kernel_of[name] for name in node.input if name in kernel_of]
        if node.op_type in SHAPE_ONLY or of_shapes.issuperset(filter(None, node.input)):
            of_shapes.update(node.output)
            continue
        if node.op_type in _RENAMING:
            kernel_of.update((node.output[0], number) for number in read[:1])
            continue
        starts = node.domain == DOMAIN or node.op_type in WEIGHTED or node.op_type in _ALONE
        number = max(read, default=None)
        if starts or number is None or kernels[number][0].domain == DOMAIN or kernels[number][0].op_type in _ALONE:
            number = len(kernels)
            kernels.append([])
        kernels[number].append(node)
        kernel_of.update((name, number) for name in node.output)
    return kernels


def _measure(kernel: Sequence[onnx.NodeProto], graph: onnx.GraphProto, shapes: Shapes) -> Launch:
    first = kernel[0]
    if first.domain == DOMAIN:
        if first.op_type not in OPERATORS:
            raise ModelError(f"There is no estimate for the operator {first.op_type}.")
        return OPERATORS[first.op_type](first, shapes)
    written = {name for node in kernel for name in node.output}
    own = {id(node) for node in kernel}
    readers = consumers(graph)
    outputs = {value.name for value in graph.output}
    leaving = [
        name for name in written if name in outputs or any(id(reader) not in own for reader in readers.get(name, ()))
    ]
    entering = dict.fromkeys(name for node in kernel for name in node.input if name and name not in written)
    return Launch(flops=_flops(first, shapes), bytes=shapes.bytes_of((*entering, *leaving)))


def _flops(node: onnx.NodeProto, shapes: Shapes) -> int:
    if node.op_type not in WEIGHTED:
        return 0
    weight = shapes[node.input[1]]
    if node.op_type == "ConvTranspose":  # each number of the input goes to all of a kernel
        return 2 * shapes.count(node.input[0]) * shapes.count(node.input[1]) // weight[0]
    per_output = shapes.count(node.input[1]) // (weight[-1] if node.op_type == "MatMul" else weight[0])
    if node.op_type == "Gemm" and not any(a.name == "transB" and a.i for a in node.attribute):
        per_output = weight[0]
    return 2 * shapes.count(node.output[0]) * per_output


class _Ancestors:
    """What lies before the operators that divide a detector."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._producers = producers(graph)
        by_type: defaultdict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph.node:
            by_type[node.op_type].append(node)
        pools, proposing, detecting = (by_type[name] for name in list(OPERATORS)[:3])
        if not pools or len(proposing) != 1 or len(detecting) != 1:
            raise ModelError("The graph has no RoIAlign, proposals and detections of this maskrt. Export it again.")
        self._features = self._before(pools[0].input[1:])
        self._proposals = self._before(proposing[0].input)
        self._detections = self._before(detecting[0].input)
        self._pools = [id(node) for node in pools]
        self._convolved = {name for node in by_type["Conv"] for name in node.output}

    def stage(self, node: onnx.NodeProto) -> str:
        """Name the stage of a kernel by its first node."""
        name = node.output[0]
        if node.domain == DOMAIN:
            if id(node) not in self._pools:
                return node.op_type
            return f"RoIAlign of {'proposals' if name in self._detections else 'detections'}"
        if name in self._features:
            if node.op_type in WEIGHTED:
                return CONVOLUTIONS
            if not self._convolved & self._before(node.input):
                return NORMALIZATION
            return POOLING if "Pool" in node.op_type else PYRAMID
        if name in self._proposals:
            return RPN_HEAD
        if name in self._detections:
            return BOX_HEAD
        return MASK_HEAD if node.op_type in WEIGHTED else MASK_CHOICE

    def _before(self, names: Iterable[str]) -> set[str]:
        """Collect the tensors that these depend on, themselves included."""
        found: set[str] = set()
        pending = list(names)
        while pending:
            name = pending.pop()
            if name not in found:
                found.add(name)
                if name in self._producers:
                    pending += self._producers[name].input
        return found
