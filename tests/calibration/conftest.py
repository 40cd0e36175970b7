"""Small graphs with the patterns of an exported model, and folders of pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser


@pytest.fixture(scope="session")
def make_graph() -> Callable[..., onnx.ModelProto]:
    """Makes a model from ONNX text and constant tensors, with the types of all tensors known."""

    def make(text: str, **constants: np.ndarray) -> onnx.ModelProto:
        model = parser.parse_model(f'<ir_version: 10, opset_import: ["": 20, "maskrt": 1]>\n{text}')
        for name, values in constants.items():
            model.graph.initializer.append(numpy_helper.from_array(values, name))
        for number, node in enumerate(model.graph.node):
            node.name = node.name or f"node_{number}"
        return onnx.shape_inference.infer_shapes(model)

    return make


@pytest.fixture(scope="session")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `annotations.json` of a data set of six held-out scenes."""
    from maskrt.shapes.dataset import write_dataset

    return write_dataset(tmp_path_factory.mktemp("held_out"), 6)
