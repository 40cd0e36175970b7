"""Reading an exported ONNX file, and files that are none."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from maskrt.contract.manifest import sha256_of
from maskrt.engines.onnx_model import read_onnx_model, without_functions
from maskrt.runtime import ModelError


def test_the_demo_model(shapes_onnx: Path) -> None:
    model = read_onnx_model(shapes_onnx)
    assert model.custom_nodes == {"DetectionOutput": 1, "GenerateProposals": 1, "MultilevelRoIAlign": 2}
    assert model.sha256 == sha256_of(shapes_onnx)
    assert model.metadata.precision == "fp32"
    assert model.properties["pipeline"]["size_divisor"] == 32
    assert model.properties["class_names"][0] == "__background__"
    assert 0.99 * shapes_onnx.stat().st_size < model.weights_bytes < shapes_onnx.stat().st_size


def test_functions_are_dropped_and_nothing_else(shapes_onnx: Path) -> None:
    whole = onnx.load(shapes_onnx)
    assert len(whole.functions) == 4
    stripped = onnx.load_from_string(without_functions(shapes_onnx))
    assert not stripped.functions
    assert stripped.graph == whole.graph
    assert stripped.metadata_props == whole.metadata_props


def test_missing_and_damaged_files(tmp_path: Path, skeleton_onnx: Path) -> None:
    with pytest.raises(ModelError, match="there is no such file"):
        read_onnx_model(tmp_path / "missing.onnx")
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"")
    with pytest.raises(ModelError, match="is empty"):
        read_onnx_model(damaged)
    damaged.write_bytes(b"not a model, but some text")
    with pytest.raises(ModelError, match="is not an ONNX file"):
        read_onnx_model(damaged)


def test_every_truncation_is_a_clear_error(tmp_path: Path, skeleton_onnx: Path) -> None:
    data = skeleton_onnx.read_bytes()
    cut = tmp_path / "cut.onnx"
    for length in range(len(data) - 1):
        cut.write_bytes(data[:length])
        with pytest.raises(ModelError, match=r"cut\.onnx"):
            read_onnx_model(cut)


def test_damage_anywhere(tmp_path: Path, skeleton_onnx: Path) -> None:
    """One changed byte gives a clear error or, in a name or a number, another model; never anything else."""
    data = skeleton_onnx.read_bytes()
    seed = np.random.SeedSequence().entropy
    print(f"seed of this run: {seed}")
    rng = np.random.default_rng(seed)
    damaged = tmp_path / "damaged.onnx"
    messages = []
    for _ in range(300):
        changed = bytearray(data)
        changed[rng.integers(len(data))] ^= rng.integers(1, 256)
        damaged.write_bytes(changed)
        try:
            read_onnx_model(damaged)
        except ModelError as error:
            messages.append(str(error))
    assert len(messages) > 30
    assert all(message.startswith(str(damaged)) for message in messages)


def test_an_attribute_that_is_no_text(tmp_path: Path, skeleton_onnx: Path) -> None:
    model = onnx.load(skeleton_onnx)
    (mode,) = (attribute for attribute in model.graph.node[0].attribute if attribute.name == "mode")
    mode.s = b"\xff\xfe"
    path = tmp_path / "damaged.onnx"
    onnx.save(model, path)
    with pytest.raises(ModelError, match="is damaged: the attributes of its node node_of_boxes cannot be read"):
        read_onnx_model(path)


def test_not_a_maskrt_file(tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", [value], [output])), path)
    with pytest.raises(ModelError, match=r"is not a maskrt model.*maskrt export"):
        read_onnx_model(path)


def test_unknown_precision(tmp_path: Path, write_skeleton: Callable[..., None]) -> None:
    write_skeleton(tmp_path / "m.onnx", precision='"int3"')
    with pytest.raises(ModelError, match="its precision is 'int3', not one of fp32, fp16, int8, fp8"):
        read_onnx_model(tmp_path / "m.onnx")


def test_a_graph_without_custom_operators(tmp_path: Path, write_skeleton: Callable[..., None]) -> None:
    path = tmp_path / "m.onnx"
    write_skeleton(path)
    model = onnx.load(path)
    model.graph.node[0].domain = ""
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"not a graph that maskrt exports.*maskrt export"):
        read_onnx_model(path)
