"""Reading the ONNX file that `maskrt export` wrote, and writing the converted one in one step."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from maskrt.contract.metadata import PREFIX, ModelMetadata, parse_metadata
from maskrt.contract.precision import SOURCE_PRECISION
from maskrt.contract.seal import SEAL, read_metadata_properties
from maskrt.contract.tensors import DOMAIN
from maskrt.errors import MaskrtError, ModelError
from maskrt.files import write_in_one_step


def load_exported(path: Path) -> tuple[onnx.ModelProto, ModelMetadata]:
    """Read the FP32 model in `path`, and what it says about itself; its seal is taken off.

    Raises:
        ModelError: the file is missing, damaged, not exported by maskrt, or of lower precision already.
    """
    metadata = parse_metadata(read_metadata_properties(path), str(path))
    if metadata.precision != SOURCE_PRECISION:
        raise ModelError(
            f"{path} is of precision {metadata.precision} already. Give the fp32 file that it was made from; "
            "`maskrt export` writes one."
        )
    try:
        model = onnx.load(path)
    except (DecodeError, ValueError) as error:
        raise ModelError(f"{path} is damaged: {error}. Export it again with `maskrt export`.") from None
    remove_seal(model)
    if not custom_operators(model):
        raise ModelError(f"{path} is damaged: it has no RoIAlign and NMS. Export it again with `maskrt export`.")
    return model, metadata


def custom_operators(model: onnx.ModelProto) -> Counter[str]:
    """How many nodes there are of each custom operator."""
    return Counter(node.op_type for node in model.graph.node if node.domain == DOMAIN)


def check_same_interface(original: onnx.ModelProto, converted: onnx.ModelProto) -> None:
    """Check that `converted` is valid ONNX and has the inputs, outputs, custom operators and functions of `original`.

    Raises:
        AssertionError, onnx.checker.ValidationError: it is not; a bug in the conversion.
    """
    for part in ("input", "output"):
        assert list(getattr(converted.graph, part)) == list(getattr(original.graph, part)), f"the {part}s changed"
    assert custom_operators(converted) == custom_operators(original), "custom operators were lost"
    assert list(converted.functions) == list(original.functions), "functions changed"
    onnx.checker.check_model(converted, full_check=True)


def remove_seal(model: onnx.ModelProto) -> None:
    """Take the seal off a model that is to be changed; see `maskrt.contract.seal`."""
    properties = {entry.key: entry.value for entry in model.metadata_props if entry.key != SEAL}
    onnx.helper.set_model_props(model, properties)


def set_metadata(model: onnx.ModelProto, **values: object) -> None:
    """Set entries `maskrt.*` of the model's metadata, each to a value as JSON."""
    properties = {entry.key: entry.value for entry in model.metadata_props}
    properties.update({f"{PREFIX}{key}": json.dumps(value) for key, value in values.items()})
    onnx.helper.set_model_props(model, properties)


def write_file(path: Path, data: bytes) -> None:
    """Write a file so that at any moment it is the old one or the new one, whole.

    Raises:
        MaskrtError: it cannot be written.
    """
    try:
        write_in_one_step(path, data)
    except OSError as error:
        raise MaskrtError(f"Cannot write {path}: {error.strerror or error}") from None
