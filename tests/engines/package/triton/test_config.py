"""The configuration of the engine model is that of an exported file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

from maskrt.contract.metadata import parse_metadata
from maskrt.contract.seal import read_metadata_properties
from maskrt.engines.onnx_model import read_image_type
from maskrt.engines.package.triton.config import Serving, engine_config, front_config
from maskrt.errors import ModelError

TYPES = {
    onnx.TensorProto.UINT8: "TYPE_UINT8",
    onnx.TensorProto.INT32: "TYPE_INT32",
    onnx.TensorProto.FLOAT: "TYPE_FP32",
}
SERVING = Serving(batch_size=8, instances=1, warm_up=((480, 640), (64, 64)))

Tensors = dict[str, tuple[str, list[int]]]


def configured(tensors: list[dict[str, Any]]) -> Tensors:
    """Type and shape of each, with the batch that Triton adds."""
    return {
        tensor["name"]: (tensor["data_type"], [-1, *tensor.get("reshape", {"shape": tensor["dims"]})["shape"]])
        for tensor in tensors
    }


def exported(values: Any) -> Tensors:
    """The same of an ONNX graph; -1 is a dynamic axis."""
    types = {value.name: value.type.tensor_type for value in values}
    return {
        name: (TYPES[kind.elem_type], [-1 if axis.HasField("dim_param") else axis.dim_value for axis in kind.shape.dim])
        for name, kind in types.items()
    }


def test_tensors_are_those_of_the_model(shapes_onnx: Path) -> None:
    metadata = parse_metadata(read_metadata_properties(shapes_onnx), "")
    config, _ = engine_config(metadata, read_image_type(shapes_onnx), SERVING, "tensorrt")
    graph = onnx.load(shapes_onnx, load_external_data=False).graph
    assert configured(config["input"]) == exported(graph.input)
    assert configured(config["output"]) == exported(graph.output)
    assert all(tensor["dims"] for tensor in config["output"]), "Triton takes no shape without an axis"


def test_warm_up(shapes_onnx: Path) -> None:
    metadata = parse_metadata(read_metadata_properties(shapes_onnx), "")
    config, data = engine_config(metadata, read_image_type(shapes_onnx), SERVING, "tensorrt")
    assert [sample["batch_size"] for sample in config["model_warmup"]] == [8, 1, 8, 1]
    for sample in config["model_warmup"]:
        assert [entry["key"] for entry in sample["inputs"]] == [tensor["name"] for tensor in config["input"]]
        files = {entry["value"]["input_data_file"] for entry in sample["inputs"][1:]}
        assert files <= set(data)
    front = front_config(metadata, SERVING, "model.onnx")
    assert len(front["model_warmup"]) == 4
    assert "model_warmup" not in front_config(metadata, SERVING, None)
    none, data = engine_config(metadata, read_image_type(shapes_onnx), Serving(8, 1, ()), "tensorrt")
    assert "model_warmup" not in none and not data


def test_a_file_without_images(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], [])), model)
    with pytest.raises(ModelError, match="it is not a graph that maskrt exports"):
        read_image_type(model)
