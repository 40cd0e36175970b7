"""What the engine builder has to know of an exported ONNX file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskrt.contract.manifest import sha256_of
from maskrt.contract.metadata import ModelMetadata, parse_metadata, read_properties
from maskrt.contract.precision import PRECISIONS
from maskrt.contract.seal import read_metadata_properties
from maskrt.contract.tensors import DOMAIN, IMAGE_TYPES, IMAGES
from maskrt.errors import DependencyError, ModelError

if TYPE_CHECKING:
    import numpy as np
    import onnx


@dataclass(frozen=True)
class OnnxModel:
    """An exported ONNX file.

    Attributes:
        path: the file.
        sha256: of the file.
        metadata: what the file says of the model.
        properties: the same as a JSON object, without the prefix `maskrt.`.
        custom_layers: the operator of each node that must become a plugin layer, by the name of its layer in TensorRT.
        weights_bytes: size of the weights.
        operators: the standard operators of the graph, each with the name of a node of it.
        custom_attributes: of each node that must become a plugin layer, by the name of its layer.
    """

    path: Path
    sha256: str
    metadata: ModelMetadata
    properties: Mapping[str, Any]
    custom_layers: Mapping[str, str]
    weights_bytes: int
    operators: Mapping[str, str] = field(default_factory=dict)
    custom_attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def custom_nodes(self) -> dict[str, int]:
        """How many nodes of each operator must become a plugin layer."""
        return dict(sorted(Counter(self.custom_layers.values()).items()))


def read_onnx_model(path: Path) -> OnnxModel:
    """Read an exported ONNX file.

    Raises:
        ModelError: it is missing, damaged, or not exported by maskrt.
        DependencyError: the package `onnx` is not installed.
    """
    strings = read_metadata_properties(path)
    metadata = parse_metadata(strings, str(path))
    if metadata.precision not in PRECISIONS:
        raise ModelError(
            f"{path} is damaged: its precision is {metadata.precision!r}, not one of {', '.join(PRECISIONS)}."
        )
    graph = _load(path).graph
    custom_layers = {_layer_name(node): node.op_type for node in graph.node if node.domain == DOMAIN}
    if IMAGES not in {tensor.name for tensor in graph.input} or not custom_layers:
        raise ModelError(
            f"{path} is damaged: it is not a graph that maskrt exports. Export it again with `maskrt export`."
        )
    return OnnxModel(
        path=path,
        sha256=sha256_of(path),
        metadata=metadata,
        properties=read_properties(strings, str(path)),
        custom_layers=custom_layers,
        weights_bytes=sum(tensor.ByteSize() for tensor in graph.initializer),
        operators={node.op_type: _layer_name(node) for node in graph.node if not node.domain},
        custom_attributes={_layer_name(node): _attributes(path, node) for node in graph.node if node.domain == DOMAIN},
    )


def read_image_type(path: Path) -> np.dtype:
    """Return the type of the images that an exported ONNX file takes.

    Raises:
        ModelError: it is missing or damaged.
        DependencyError: the package `onnx` is not installed.
    """
    types = {tensor.name: tensor.type.tensor_type.elem_type for tensor in _load(path).graph.input}
    from onnx import helper

    for dtype in IMAGE_TYPES.values():
        if types.get(IMAGES) == helper.np_dtype_to_tensor_dtype(dtype):
            return dtype
    raise ModelError(f"{path} is damaged: it is not a graph that maskrt exports. Export it again with `maskrt export`.")


def _layer_name(node: onnx.NodeProto) -> str:
    """Name the layer that TensorRT's parser makes of a node: `getNodeName` of its `onnxProtoUtils`."""
    return node.name or f"node_of_{next(iter(node.output), '')}"


def _attributes(path: Path, node: onnx.NodeProto) -> dict[str, Any]:
    """Return the values by name; texts as `str`.

    Raises:
        ModelError: one is a text that is none.
    """
    from onnx import helper

    try:
        values = [(attribute.name, helper.get_attribute_value(attribute)) for attribute in node.attribute]
        return {name: value.decode() if isinstance(value, bytes) else value for name, value in values}
    except ValueError as error:  # as a UnicodeDecodeError is
        raise ModelError(
            f"{path} is damaged: the attributes of its node {_layer_name(node)} cannot be read ({error}). Export it "
            "again with `maskrt export`."
        ) from None


def without_functions(path: Path) -> bytes:
    """Return the ONNX file without its local functions, which a parser before TensorRT 10.7 takes for an error.

    Raises:
        ModelError: the file is damaged.
    """
    model = _load(path)
    del model.functions[:]
    return model.SerializeToString()


def inlined(path: Path) -> onnx.ModelProto:
    """Return the ONNX file with its local functions put where they are called, for a reader that knows none.

    Raises:
        ModelError: the file is damaged.
    """
    model = _load(path)
    from onnx import inliner

    return inliner.inline_local_functions(model)


def _load(path: Path) -> onnx.ModelProto:
    try:
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    except ImportError as error:
        raise DependencyError("Building engines needs onnx: `pip install maskrt[engines]`.") from error
    try:
        return onnx.load(path)
    except (DecodeError, ValueError) as error:
        raise ModelError(f"{path} is damaged: {error}. Copy or export it again.") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from None
