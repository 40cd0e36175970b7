"""Plugin layers told from the layers' names, as bindings need it that hand out no plugin's name."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest

from maskrt.engines.builders.tensorrt.network import check_operators, check_plugin_layers, plugin_layers
from maskrt.engines.errors import EngineError
from maskrt.engines.onnx_model import OnnxModel, read_onnx_model

TRT: Any = SimpleNamespace(LayerType=SimpleNamespace(PLUGIN_V3="PLUGIN_V3", CONVOLUTION="CONVOLUTION"))


class OldPlugin:
    """As in the bindings of TensorRT 10.1 to 10.3 (pyPlugin.cpp)."""

    def get_capability_interface(self, kind: Any) -> None:
        return None


def network(*layers: tuple[str, str]) -> Any:
    """A network with layers of these types and names."""
    made = [SimpleNamespace(type=kind, name=name, plugin=OldPlugin()) for kind, name in layers]
    return SimpleNamespace(num_layers=len(made), get_layer=made.__getitem__)


@pytest.fixture
def model(tmp_path: Path, skeleton_onnx: Path) -> OnnxModel:
    """Three custom nodes, of which two have one name and the third has none."""
    proto = onnx.load(skeleton_onnx)
    proto.graph.node[0].name = "pool_1"
    for name, operator in (("decode", "DecodeKeypoints"), ("", "DecodeKeypoints")):
        node = onnx.helper.make_node(operator, ["images"], [f"kept{name}"], name=name, domain="maskrt")
        proto.graph.node.append(node)
    onnx.save(proto, tmp_path / "model.onnx")
    return read_onnx_model(tmp_path / "model.onnx")


def test_layers_are_counted_by_the_operator_of_their_node(model: OnnxModel) -> None:
    parsed = network(
        ("CONVOLUTION", "decode"), ("PLUGIN_V3", "pool_1"), ("PLUGIN_V3", "decode_2"), ("PLUGIN_V3", "node_of_kept")
    )
    found = plugin_layers(TRT, parsed, model)
    assert found == {"DecodeKeypoints": 2, "MultilevelRoIAlign": 1}
    check_plugin_layers(found, model)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (
            [("PLUGIN_V3", "pool_1"), ("PLUGIN_V3", "decode")],
            "the network has 1 DecodeKeypoints and 1 MultilevelRoIAlign",
        ),
        ([("CONVOLUTION", "pool_1")], "the network has none"),
        ([("PLUGIN_V3", "pool_1"), ("PLUGIN_V3", "other")], "the network has 1 MultilevelRoIAlign and 1 other"),
    ],
)
def test_what_did_not_become_a_plugin_layer(model: OnnxModel, layers: list[tuple[str, str]], words: str) -> None:
    with pytest.raises(EngineError, match=rf"has 2 DecodeKeypoints and 1 MultilevelRoIAlign, but {words} as plugin"):
        check_plugin_layers(plugin_layers(TRT, network(*layers), model), model)


def test_an_operator_of_another_version(model: OnnxModel) -> None:
    check_operators(model)
    older = dataclasses.replace(model, custom_layers={**model.custom_layers, "heads.nms": "BatchedNMS"})
    with pytest.raises(
        EngineError, match=r"has BatchedNMS, of which .* no plugin.* Export it again with `maskrt export`"
    ):
        check_operators(older)
