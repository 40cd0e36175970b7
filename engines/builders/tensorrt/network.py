"""ONNX file → TensorRT network, with every custom operator a plugin layer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from maskrt.contract.manifest import Tensor
from maskrt.engines.builders.tensorrt import packages
from maskrt.engines.builders.tensorrt.packages import Package, version_of
from maskrt.engines.errors import EngineError
from maskrt.engines.onnx_model import OnnxModel, without_functions
from maskrt.plugins.loader import PLUGIN_NAMES

_FUNCTIONS_SINCE = (10, 7)
"""The first TensorRT whose parser prefers a plugin over a local function of the same name."""


def parse_network(trt: ModuleType, package: Package, model: OnnxModel) -> tuple[Any, Any, Any]:
    """Parse into a strongly typed network: (builder, network, parser), as Polygraphy passes them on.

    Raises:
        EngineError: a custom operator did not become a plugin layer.
        PolygraphyException: the parser refuses the file.
    """
    from polygraphy.backend.trt import NetworkFromOnnxBytes, NetworkFromOnnxPath

    # Networks are always strongly typed from TensorRT 11 on, which may drop the flag.
    strongly_typed = hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")
    if package is packages.TENSORRT and version_of(trt) < _FUNCTIONS_SINCE:
        load = NetworkFromOnnxBytes(without_functions(model.path), strongly_typed=strongly_typed)
    else:
        load = NetworkFromOnnxPath(str(model.path), strongly_typed=strongly_typed)
    builder, network, parser = load()
    check_plugin_layers(plugin_layers(trt, network, model), model)
    return builder, network, parser


def check_operators(model: OnnxModel) -> None:
    """Check that each custom operator of the file has a plugin.

    Raises:
        EngineError: one has none, as those have not that another version exported.
    """
    unknown = sorted(model.custom_nodes.keys() - set(PLUGIN_NAMES))
    if unknown:
        raise EngineError(
            f"{model.path} has {' and '.join(unknown)}, of which this maskrt has no plugin: another version of it "
            "exported the file. Export it again with `maskrt export`."
        )


def layer_types(network: Any) -> Counter[str]:
    """Count the layers of each type, for example {"CONVOLUTION": 44, "PLUGIN_V3": 4}."""
    return Counter(network.get_layer(index).type.name for index in range(network.num_layers))


def plugin_layers(trt: ModuleType, network: Any, model: OnnxModel) -> Counter[str]:
    """Count the plugin layers of each operator of the file; one that is none of the file's counts by its own name.

    A layer bears the name of its node. Its plugin is not asked: `IPluginV3.get_capability_interface` gives nothing in
    Python before TensorRT 10.4, which is what JetPack 6.1 and 6.2 bring.
    """
    layers = (network.get_layer(index) for index in range(network.num_layers))
    names = (layer.name for layer in layers if layer.type == trt.LayerType.PLUGIN_V3)
    operators = model.custom_layers
    return Counter(operators.get(name) or operators.get(_without_number(name), name) for name in names)


def _without_number(name: str) -> str:
    """Cut off what the parser appends where two layers would have one name."""
    return re.sub(r"_\d+$", "", name)


def check_plugin_layers(found: Mapping[str, int], model: OnnxModel) -> None:
    """Check that each custom operator of the file became a plugin layer, and none was expanded into its function.

    Raises:
        EngineError: the counts differ.
    """
    if dict(found) != dict(model.custom_nodes):
        raise EngineError(
            f"{model.path} has {_counts(model.custom_nodes)}, but the network has {_counts(found)} as plugin "
            "layers: TensorRT expanded the rest into standard operators, which it cannot run. Run `make plugins`, "
            "and export the file again with `maskrt export`."
        )


def _counts(counts: Mapping[str, int]) -> str:
    return " and ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


def tensors(trt: ModuleType, network: Any) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return the network's inputs and outputs."""
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    outputs = [network.get_output(index) for index in range(network.num_outputs)]
    return tuple(_tensor(trt, tensor) for tensor in inputs), tuple(_tensor(trt, tensor) for tensor in outputs)


def _tensor(trt: ModuleType, tensor: Any) -> Tensor:
    return Tensor(tensor.name, trt.nptype(tensor.dtype).__name__, tuple(int(size) for size in tensor.shape))
