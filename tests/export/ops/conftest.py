"""Running one custom operator in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import onnx
import onnxruntime
import pytest
from onnx import helper

from maskrt.contract.tensors import DOMAIN
from maskrt.export.ops import OPSET, PLUGIN_ATTRIBUTES


@pytest.fixture(scope="session")
def make_model() -> Callable[..., onnx.ModelProto]:
    """`make_model(function, inputs, outputs, more=..., **attributes)` -> a file with one node that calls it.

    `more`: functions that it calls.
    """

    def model(
        function: onnx.FunctionProto,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        *,
        more: Sequence[onnx.FunctionProto] = (),
        **attributes: Any,
    ) -> onnx.ModelProto:
        node = helper.make_node(
            function.name,
            [value.name for value in inputs],
            [value.name for value in outputs],
            domain=DOMAIN,
            **attributes,
            **PLUGIN_ATTRIBUTES,
        )
        proto = helper.make_model(
            helper.make_graph([node], "test", inputs, outputs),
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)],
            functions=[function, *more],
            ir_version=10,
        )
        onnx.checker.check_model(proto, full_check=True)
        return proto

    return model


@pytest.fixture(scope="session")
def run_operator(make_model: Callable[..., onnx.ModelProto]) -> Callable[..., onnxruntime.InferenceSession]:
    """`run_operator(function, inputs, outputs, **attributes)` -> a session of what `make_model` makes."""

    def session(*arguments: Any, **attributes: Any) -> onnxruntime.InferenceSession:
        proto = make_model(*arguments, **attributes)
        return onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])

    return session
