"""Questions and answers as tensors, see `contract.serving`: the same in `maskrt serve` and in Triton."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from maskrt.contract.metadata import ModelMetadata
from maskrt.contract.serving import BYTES, DTYPES, IMAGE, INPUTS, PIXELS, TensorSpec
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
)
from maskrt.errors import ArgumentError
from maskrt.runtime.questions.question import Question, read_threshold
from maskrt.runtime.structures.instances import Instances

_INPUTS = {spec.name: spec for spec in INPUTS}


def read_questions(tensors: Mapping[str, np.ndarray], metadata: ModelMetadata) -> list[Question]:
    """Return the pictures of a request, with their thresholds.

    Args:
        tensors: the inputs that it has, by name, of the types of `contract.serving`; BYTES are arrays of objects.
        metadata: of the model, for the thresholds that are not given.

    Raises:
        ArgumentError: none or both of the two inputs for pictures, no picture, a shape that fits no other, or a
            threshold that is none.
    """
    if (IMAGE in tensors) == (PIXELS in tensors):
        given = ", ".join(name for name in (IMAGE, PIXELS) if name in tensors) or "none"
        raise ArgumentError(f"Expected one of the inputs {IMAGE} and {PIXELS}, but got {given}.")
    for name, value in tensors.items():
        if not _INPUTS[name].fits(value.shape):
            wanted = list(_INPUTS[name].shape)
            raise ArgumentError(f"{name} should have the shape {wanted} (-1: any), but has {list(value.shape)}.")
    pictures = tensors[IMAGE][:, 0] if IMAGE in tensors else tensors[PIXELS]
    if not len(pictures):
        raise ArgumentError("The request has no picture.")
    score = _thresholds(tensors, SCORE_THRESHOLD, metadata.score_threshold, len(pictures))
    nms = _thresholds(tensors, NMS_THRESHOLD, metadata.nms_threshold, len(pictures))
    return [Question(*question) for question in zip(pictures, score, nms, strict=True)]


def _thresholds(tensors: Mapping[str, np.ndarray], name: str, default: float, pictures: int) -> list[float]:
    if name not in tensors:
        return [default] * pictures
    values = tensors[name][:, 0].tolist()
    if len(values) != pictures:
        raise ArgumentError(f"{name} has {len(values)} values for {pictures} pictures.")
    return [read_threshold(name, value, default) for value in values]


def masks_of(instances: Instances) -> list[bytes]:
    """Return the counts of the masks, as `lay_out` takes them."""
    return [rle["counts"].encode("ascii") for rle in instances.rle()]


def lay_out(
    found: Sequence[Instances], masks: Sequence[Sequence[bytes]], specs: Sequence[TensorSpec]
) -> dict[str, np.ndarray]:
    """Lay the instances of N pictures into tensors; BYTES are arrays of objects.

    Args:
        found: of each picture.
        masks: the counts of each, from `masks_of`; looked at if they are wanted.
        specs: the outputs that are wanted, of `contract.serving.outputs_of`.
    """
    of_all = {
        NUM_DETECTIONS: [[len(instances)] for instances in found],
        IMAGE_SIZES: [instances.image_size for instances in found],
    }
    of_each: dict[str, Sequence[Any]] = {
        BOXES: [instances.boxes for instances in found],
        SCORES: [instances.scores for instances in found],
        LABELS: [instances.labels for instances in found],
        KEYPOINTS: [instances.keypoints for instances in found],
        MASKS: masks,
    }
    count, most = len(found), max(map(len, found))
    values: dict[str, np.ndarray] = {}
    for name, datatype, shape in specs:
        if name in of_all:
            values[name] = np.array(of_all[name], DTYPES[datatype])
            continue
        dtype: Any = np.object_ if datatype == BYTES else DTYPES[datatype]
        values[name] = np.full((count, most, *shape[2:]), b"" if datatype == BYTES else 0, dtype)
        for row, instances, value in zip(values[name], found, of_each[name], strict=True):
            row[: len(instances)] = value
    return values
