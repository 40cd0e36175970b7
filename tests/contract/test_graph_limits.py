"""Files that would keep a command busy for minutes, or have it read other files, end in a sentence at once."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from maskrt.contract.seal import read_metadata_properties
from maskrt.errors import ModelError

WriteModel = Callable[..., Path]


def nodes(count: int, op_type: str = "Identity", domain: str = "") -> list[onnx.NodeProto]:
    return [helper.make_node(op_type, ["x"], ["y"], domain=domain)] * count


def subgraph(count: int) -> onnx.GraphProto:
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    return helper.make_graph(nodes(count), "inside", [], [value])


def million_nodes(model: onnx.ModelProto) -> None:
    model.graph.node.extend(nodes(1_000_000))


def million_nodes_inside(model: onnx.ModelProto) -> None:
    graph = subgraph(1_000_000)
    model.graph.node.append(helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=subgraph(1)))


def functions_that_call_functions(model: onnx.ModelProto) -> None:
    for level in range(30):
        body = nodes(2, f"f{level + 1}", "maskrt")
        model.functions.append(helper.make_function("maskrt", f"f{level}", ["x"], ["y"], body, []))
    model.graph.node.extend(nodes(1, "f0", "maskrt"))


def a_function_that_calls_itself(model: onnx.ModelProto) -> None:
    model.functions.append(helper.make_function("maskrt", "f", ["x"], ["y"], nodes(1, "f", "maskrt"), []))
    model.graph.node.extend(nodes(1, "f", "maskrt"))


def outside(tensor: onnx.TensorProto, location: str) -> onnx.TensorProto:
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.append(onnx.StringStringEntryProto(key="location", value=location))
    return tensor


def external(location: str, place: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        tensor = outside(helper.make_tensor("w", TensorProto.FLOAT, [1], [0.0]), location)
        if place == "initializer":
            model.graph.initializer.append(tensor)
        elif place == "constant":
            model.graph.node.append(helper.make_node("Constant", [], ["w"], value=tensor))
        else:
            graph = subgraph(1)
            graph.initializer.append(tensor)
            model.graph.node.append(helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=subgraph(1)))

    return change


BOMBS = [million_nodes, million_nodes_inside, functions_that_call_functions, a_function_that_calls_itself]
OUTSIDE = [
    external(location, place)
    for location in ("/etc/passwd", "../other.bin", "weights.bin", "/dev/zero")
    for place in ("initializer", "constant", "subgraph")
]


def changed(path: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("change", BOMBS, ids=lambda change: change.__name__)
def test_more_operators_than_any_model_has(write_model: WriteModel, change: Callable[[onnx.ModelProto], None]) -> None:
    path = changed(write_model(), change)
    start = time.process_time()
    with pytest.raises(ModelError, match=r"model.onnx stands for more than 100,000 operators"):
        read_metadata_properties(path)
    assert time.process_time() - start < 10


@pytest.mark.parametrize("number", range(len(OUTSIDE)))
def test_weights_in_other_files(write_model: WriteModel, number: int) -> None:
    path = changed(write_model(), OUTSIDE[number])
    with pytest.raises(ModelError, match=r"keeps weights in other files, which no file of maskrt does"):
        read_metadata_properties(path)


def test_names_that_sound_like_it(write_model: WriteModel) -> None:
    def rename(model: onnx.ModelProto) -> None:
        model.graph.node[0].name = "location"

    assert read_metadata_properties(changed(write_model(), rename))


def test_a_large_graph_is_none(write_model: WriteModel) -> None:
    def grow(model: onnx.ModelProto) -> None:
        model.graph.node.extend(nodes(90_000))

    properties = read_metadata_properties(changed(write_model(), grow))
    assert json.loads(properties["maskrt.format"])
