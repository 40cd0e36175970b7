"""docs/deploy.md: Triton's configuration is that of an exported file."""

import re
from pathlib import Path

import onnx
import pytest

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "deploy.md"

TYPES = {
    "TYPE_UINT8": onnx.TensorProto.UINT8,
    "TYPE_INT32": onnx.TensorProto.INT32,
    "TYPE_FP32": onnx.TensorProto.FLOAT,
}

Tensors = dict[str, tuple[int, list[int]]]


def configured(text: str, kind: str) -> Tensors:
    """Type and shape of each input or output of a config.pbtxt, in order."""
    (body,) = re.findall(rf"^{kind} \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    entries = re.findall(
        r'\{ name: "(\w+)" +data_type: (\w+) +dims: \[ (.+?) \]( +reshape: \{ shape: \[ \] \})? \}(,?)\n', body
    )
    assert len(entries) == body.count("\n")
    assert [comma for *_, comma in entries] == [","] * (len(entries) - 1) + [""]
    # Triton adds the batch; it takes no shape without an axis, so that one is taken away by `reshape`.
    return {
        name: (TYPES[data_type], [-1, *([] if scalar else map(int, dims.split(",")))])
        for name, data_type, dims, scalar, _ in entries
    }


def exported(values: list[onnx.ValueInfoProto]) -> Tensors:
    """The same of an ONNX graph; -1 is a dynamic axis."""
    types = {value.name: value.type.tensor_type for value in values}
    return {
        name: (kind.elem_type, [-1 if axis.HasField("dim_param") else axis.dim_value for axis in kind.shape.dim])
        for name, kind in types.items()
    }


@pytest.fixture(scope="module")
def config() -> str:
    (text,) = re.findall(r"^```pbtxt\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    return text


def test_tensors_are_those_of_the_model(config: str, shapes_onnx: Path) -> None:
    graph = onnx.load(shapes_onnx, load_external_data=False).graph
    assert configured(config, "input") == exported(list(graph.input))
    assert configured(config, "output") == exported(list(graph.output))


def test_requests_are_batched(config: str) -> None:
    """Every tensor has the batch as its first axis, so that Triton may join requests."""
    assert re.search(r"^max_batch_size: [2-9]\d*$", config, re.MULTILINE)
    assert re.search(r"^dynamic_batching \{ \}$", config, re.MULTILINE)
    assert re.search(r'^backend: "tensorrt"$', config, re.MULTILINE)
