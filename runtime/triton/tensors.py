"""Requests and responses of Triton's Python backend: tensors to pictures, instances to tensors."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from maskrt.contract.metadata import ModelMetadata
from maskrt.contract.serving import BYTES, DTYPES, IMAGE, INPUTS, PIXELS, outputs_of
from maskrt.contract.tensors import (
    BOXES,
    IMAGE_SIZES,
    KEYPOINTS,
    LABELS,
    MASKS,
    NMS_THRESHOLD,
    NUM_DETECTIONS,
    SCORE_THRESHOLD,
    SCORES,
    check_threshold,
)
from maskrt.errors import ArgumentError
from maskrt.runtime.batches import Question
from maskrt.runtime.structures.instances import Instances


def read_request(tensors: Mapping[str, np.ndarray], metadata: ModelMetadata) -> list[Question]:
    """Return the pictures of a request.

    Args:
        tensors: the inputs that it has, by name, of the types that the configuration names.
        metadata: of the model, for the thresholds that are not given.

    Raises:
        ArgumentError: none or both of the two inputs for pictures, a shape that fits no other, or a threshold that is
            none.
    """
    if (IMAGE in tensors) == (PIXELS in tensors):
        given = ", ".join(name for name in (IMAGE, PIXELS) if name in tensors) or "none"
        raise ArgumentError(f"Expected one of the inputs {IMAGE} and {PIXELS}, but got {given}.")
    shapes = {spec.name: spec.shape for spec in INPUTS}
    for name, value in tensors.items():
        wanted = shapes[name]
        fits = value.ndim == len(wanted) and all(
            side in (-1, size) for side, size in zip(wanted, value.shape, strict=True)
        )
        if not fits:
            raise ArgumentError(f"{name} should have the shape {list(wanted)} (-1: any), but has {list(value.shape)}.")
    pictures = tensors[IMAGE][:, 0] if IMAGE in tensors else tensors[PIXELS]
    score = _thresholds(tensors, SCORE_THRESHOLD, metadata.score_threshold, len(pictures))
    nms = _thresholds(tensors, NMS_THRESHOLD, metadata.nms_threshold, len(pictures))
    return [Question(*question) for question in zip(pictures, score, nms, strict=True)]


def _thresholds(tensors: Mapping[str, np.ndarray], name: str, default: float, pictures: int) -> list[float]:
    if name not in tensors:
        return [default] * pictures
    values = tensors[name][:, 0]
    if len(values) != pictures:
        raise ArgumentError(f"{name} has {len(values)} values for {pictures} pictures.")
    check_threshold(name, values, default)
    return values.tolist()


def write_response(found: Sequence[Instances], metadata: ModelMetadata) -> dict[str, np.ndarray]:
    """Lay the instances of N pictures into the outputs of `contract.serving`; BYTES are arrays of objects."""
    count, most = len(found), max(map(len, found))
    values: dict[str, np.ndarray] = {}
    for name, datatype, shape in outputs_of(metadata):
        if name == NUM_DETECTIONS:
            values[name] = np.array([[len(instances)] for instances in found], np.int32)
        elif name == IMAGE_SIZES:
            values[name] = np.array([instances.image_size for instances in found], np.int32)
        else:
            dtype: Any = np.object_ if datatype == BYTES else DTYPES[datatype]
            rows = np.full((count, most, *shape[2:]), b"" if datatype == BYTES else 0, dtype)
            for row, instances in zip(rows, found, strict=True):
                row[: len(instances)] = _ROWS[name](instances)
            values[name] = rows
    return values


_ROWS: Mapping[str, Any] = {
    BOXES: lambda instances: instances.boxes,
    SCORES: lambda instances: instances.scores,
    LABELS: lambda instances: instances.labels,
    MASKS: lambda instances: [rle["counts"].encode("ascii") for rle in instances.rle()],
    KEYPOINTS: lambda instances: instances.keypoints,
}
"""What of N instances goes into an output that has a row for each: [N, ...]."""
