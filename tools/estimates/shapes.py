"""The sizes of the tensors of an exported graph, for a batch and a canvas of given size."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from maskrt.contract.tensors import IMAGES
from maskrt.errors import ModelError

_OPERATIONS: Mapping[type, Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_FUNCTIONS: Mapping[str, Callable[..., int]] = {"Min": min, "Max": max}


class Shapes:
    """Every tensor's shape and type.

    The exporter writes sizes as formulas of the batch and the canvas. Symbols of its own among them are worked out from
    convolutions, whose outputs' sizes follow from their inputs'.

    Args:
        graph: of an exported file of any precision.
        batch: of images.
        canvas: height and width, multiples of the model's divisor.

    Raises:
        ModelError: a formula cannot be worked out.
    """

    def __init__(self, graph: onnx.GraphProto, batch: int, canvas: tuple[int, int]) -> None:
        values = {value.name: value for value in (*graph.input, *graph.value_info, *graph.output)}
        self._symbols: dict[str, int] = {"batch": batch}
        self._tensors: dict[str, tuple[tuple[Any, ...], int]] = {
            tensor.name: (tuple(tensor.dims), _item_size(tensor.data_type)) for tensor in graph.initializer
        }
        for name, value in values.items():
            of_tensor = value.type.tensor_type
            dims = tuple(dim.dim_param or dim.dim_value for dim in of_tensor.shape.dim)
            self._tensors[name] = (dims, _item_size(of_tensor.elem_type))
        for node in graph.node:
            if node.op_type == "Constant":
                array = numpy_helper.to_array(helper.get_node_attr_value(node, "value"))
                self._tensors[node.output[0]] = (array.shape, array.itemsize)
            elif node.op_type == "Cast" and node.output[0] not in values:  # of a conversion
                target = helper.get_node_attr_value(node, "to")
                self._tensors[node.output[0]] = (self._tensors[node.input[0]][0], _item_size(target))
        for formula, side in zip(self._tensors[IMAGES][0][1:3], canvas, strict=True):
            self._solve(formula, side)
        for node in graph.node:
            if node.op_type == "Conv" and len(self._tensors[node.output[0]][0]) == 4:
                self._solve_convolution(node)

    def __getitem__(self, name: str) -> tuple[int, ...]:
        """Give a tensor's shape."""
        return tuple(dim if isinstance(dim, int) else self._value(dim) for dim in self._tensors[name][0])

    def count(self, name: str) -> int:
        """Count a tensor's numbers."""
        return int(np.prod(self[name], dtype=np.int64))

    def bytes_of(self, names: Iterable[str]) -> int:
        """Add up the bytes of tensors."""
        return sum(self.count(name) * self._tensors[name][1] for name in names)

    def _solve_convolution(self, node: onnx.NodeProto) -> None:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        kernel = self._tensors[node.input[1]][0][2:]
        pads = attributes.get("pads", [0] * 4)
        for axis in range(2):
            try:
                size = self[node.input[0]][2 + axis]
            except ModelError:
                return
            reach = attributes.get("dilations", [1, 1])[axis] * (kernel[axis] - 1) + 1
            given = size + pads[axis] + pads[2 + axis] - reach
            self._solve(
                self._tensors[node.output[0]][0][2 + axis], given // attributes.get("strides", [1, 1])[axis] + 1
            )

    def _solve(self, formula: str | int, value: int) -> None:
        """Find the one unknown symbol of a formula that is a multiple of it."""
        if isinstance(formula, int):
            return
        unknown = {node.id for node in ast.walk(ast.parse(formula)) if isinstance(node, ast.Name)}
        unknown -= self._symbols.keys() | _FUNCTIONS.keys()
        if len(unknown) == 1:
            (symbol,) = unknown
            self._symbols[symbol] = 1
            self._symbols[symbol] = value // self._value(formula)
            if self._value(formula) != value:
                raise ModelError(
                    f"{value} does not fit {formula}; expected a canvas whose sides the model's divisor divides."
                )

    def _value(self, formula: str) -> int:
        try:
            return self._evaluate(ast.parse(formula, mode="eval").body)
        except (KeyError, ValueError, SyntaxError):
            raise ModelError(f"The size {formula} of a tensor is not known.") from None

    def _evaluate(self, node: ast.AST) -> int:
        match node:
            case ast.Constant(value=int() as value):
                return value
            case ast.Name(id=name):
                return self._symbols[name]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._evaluate(operand)
            case ast.BinOp(left=left, op=op, right=right):
                return _OPERATIONS[type(op)](self._evaluate(left), self._evaluate(right))
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return _FUNCTIONS[name](*map(self._evaluate, arguments))
        raise ValueError


def _item_size(data_type: int) -> int:
    return int(np.dtype(helper.tensor_dtype_to_np_dtype(data_type)).itemsize)
