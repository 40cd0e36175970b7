"""A small working model, an engine file and its manifest, and both with values that nobody would write."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx

from maskrt.contract.manifest import BuildInputs, EngineFile, Manifest, Tensor, _checksum
from maskrt.contract.seal import sealed

from ..support.small_model import build_model

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**31, 2**70, 1e-9, float("inf"), float("nan"), -0.5),
    *("", "x", "x" * 3000, "\0", "\ud800", "../..", "%s{0}", [], [[]], [None], {}, {"": {}}),
)


def small_model() -> onnx.ModelProto:
    """A maskrt model of 11 KB that finds three boxes in any image."""
    return build_model(onnx.TensorProto.UINT8, True, {})


def model_with_odd_metadata(number: int) -> bytes:
    """The small model with some odd values in its metadata, properly sealed; the same number gives the same file."""
    rng = np.random.default_rng([5, number])
    model = small_model()
    for entry in model.metadata_props:
        if rng.random() < 0.15:
            entry.value = json.dumps(_with_odd_value(json.loads(entry.value), rng))
    return sealed(model.SerializeToString())


def manifest_with_odd_values(manifest: Manifest, number: int) -> str:
    """The text of the manifest with an odd value somewhere and the right checksum; the same number, the same text."""
    content = json.loads(manifest.to_json())
    del content["checksum"]
    content = _with_odd_value(content, np.random.default_rng([6, number]))
    if not isinstance(content, dict):
        return json.dumps(content)
    return json.dumps({**content, "checksum": _checksum(content)})


def _with_odd_value(content: Any, rng: np.random.Generator) -> Any:
    content = copy.deepcopy(content)
    places = [(None, None), *_places(content)]
    holder, key = places[rng.integers(len(places))]
    value = ODD_VALUES[rng.integers(len(ODD_VALUES))]
    if holder is None:
        return value
    holder[key] = value
    return content


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield content, key
        yield from _places(value)


def engine_and_manifest(build: BuildInputs) -> tuple[bytes, Manifest]:
    """Bytes that stand in for an engine, which is not opened here, and the manifest that describes them."""
    engine = np.random.default_rng(3).bytes(5000)
    inputs = (Tensor("images", "uint8", (-1, -1, -1, 3)),)
    model = {entry.key.removeprefix("maskrt."): json.loads(entry.value) for entry in small_model().metadata_props}
    outputs = (Tensor("num_detections", "int32", (-1,)),)
    return engine, Manifest({".engine": EngineFile.of(engine)}, build, inputs, outputs, {"GenerateProposals": 1}, model)


def outside_of_weights(content: bytes) -> list[tuple[int, int]]:
    """(start, end) of the parts of an ONNX file that are no large tensors: nodes, names, shapes, metadata."""
    weights = []
    for tensor in onnx.load_from_string(content).graph.initializer:
        if len(tensor.raw_data) > 1000:
            start = content.find(tensor.raw_data)
            weights.append((start, start + len(tensor.raw_data)))
    starts = [0, *(end for _, end in sorted(weights))]
    ends = [*(start for start, _ in sorted(weights)), len(content)]
    # The largest: most are the few bytes between two tensors.
    return sorted(
        ((a, b) for a, b in zip(starts, ends, strict=True) if a < b), key=lambda region: region[0] - region[1]
    )[:8]
