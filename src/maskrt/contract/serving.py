"""What a server of a maskrt model takes and gives: tensors of the KServe protocol, version 2 (also Triton's).

Inputs of a request about N pictures, of which there is one of the first two:

    image             [N, 1]        BYTES   image files: JPEG, PNG, WebP, TIFF, BMP, GIF
    pixels            [N, H, W, 3]  UINT8   RGB
    score_threshold   [N, 1]        FP64    only detections with a higher score; optional
    nms_threshold     [N, 1]        FP64    greatest IoU of two detections of a class; optional

Thresholds are 64 bits wide, as Python's numbers are: an IoU is compared with the threshold that was meant, not with the
nearest of 32 bits.

Outputs, K being the most detections that a picture of the request has; rows behind `num_detections` are zero:

    num_detections    [N, 1]        INT32
    image_sizes       [N, 2]        INT32   height and width of each picture
    boxes             [N, K, 4]     FP32    xyxy, pixels of the picture
    scores            [N, K]        FP32    descending
    labels            [N, K]        INT32   index into the class names; 0 is the background
    masks             [N, K]        BYTES   counts of COCO's compressed run-length encoding, if the model has masks
    keypoints         [N, K, P, 3]  FP32    x, y in pixels of the picture, and a score, if it has keypoints

The class names, those of the keypoints, and the model's own thresholds are parameters of its configuration that hold
JSON.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from maskrt.contract.metadata import ModelMetadata
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

IMAGE = "image"
PIXELS = "pixels"

CLASS_NAMES = "class_names"
KEYPOINT_NAMES = "keypoint_names"
"""Parameters of the model's configuration, `GET /v2/models/NAME/config`: a JSON list each."""

HEADER_LENGTH = "Inference-Header-Content-Length"
"""HTTP header of the extension for binary tensors: how many bytes of the body are JSON; the tensors follow."""

DTYPES: dict[str, np.dtype] = {
    "UINT8": np.dtype(np.uint8),
    "INT32": np.dtype("<i4"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""The protocol's types of numbers that are used here. BYTES, whose elements differ in length, is the other one."""

BYTES = "BYTES"


class TensorSpec(NamedTuple):
    """An input or output: its name, type, and shape; -1: any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def fits(self, shape: Sequence[int]) -> bool:
        """Tell whether a tensor may have this shape."""
        return len(shape) == len(self.shape) and all(
            wanted in (-1, side) for side, wanted in zip(shape, self.shape, strict=True)
        )


INPUTS = (
    TensorSpec(IMAGE, BYTES, (-1, 1)),
    TensorSpec(PIXELS, "UINT8", (-1, -1, -1, 3)),
    TensorSpec(SCORE_THRESHOLD, "FP64", (-1, 1)),
    TensorSpec(NMS_THRESHOLD, "FP64", (-1, 1)),
)


def outputs_of(metadata: ModelMetadata) -> tuple[TensorSpec, ...]:
    """Return the outputs of a server of a model."""
    specs = [
        TensorSpec(NUM_DETECTIONS, "INT32", (-1, 1)),
        TensorSpec(IMAGE_SIZES, "INT32", (-1, 2)),
        TensorSpec(BOXES, "FP32", (-1, -1, 4)),
        TensorSpec(SCORES, "FP32", (-1, -1)),
        TensorSpec(LABELS, "INT32", (-1, -1)),
    ]
    meanings = {output.meaning for output in metadata.outputs}
    if "mask_probabilities" in meanings:
        specs.append(TensorSpec(MASKS, BYTES, (-1, -1)))
    if "keypoints" in meanings:
        specs.append(TensorSpec(KEYPOINTS, "FP32", (-1, -1, len(metadata.keypoint_names), 3)))
    return tuple(specs)


def pack_bytes(elements: Sequence[bytes]) -> bytes:
    """Write the elements of a BYTES tensor: each behind its length, 4 bytes, little-endian."""
    return b"".join(part for element in elements for part in (len(element).to_bytes(4, "little"), element))


def unpack_bytes(data: bytes) -> list[bytes]:
    """Read what `pack_bytes` writes.

    Raises:
        ValueError: the lengths do not fit the data.
    """
    elements, at = list[bytes](), 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "little")
        element = data[at + 4 : at + 4 + length]
        if at + 4 + length > len(data):
            raise ValueError(f"element {len(elements)} says it has {length} bytes, {len(data) - at - 4} are there")
        elements.append(element)
        at += 4 + length
    return elements


def to_binary(value: np.ndarray | Sequence[bytes], datatype: str) -> bytes:
    """Write a tensor as the extension for binary tensors has it."""
    if datatype == BYTES:
        return pack_bytes(value)  # type: ignore[arg-type]  # of BYTES it is a sequence of them
    return np.ascontiguousarray(value, DTYPES[datatype]).tobytes()


def from_binary(data: bytes, datatype: str, shape: Sequence[int]) -> np.ndarray | list[bytes]:
    """Read what `to_binary` writes.

    Args:
        data: of this tensor alone.
        datatype: "BYTES", or a key of `DTYPES`.
        shape: that it should have.

    Returns:
        An array of this shape; of BYTES the elements as a list, row by row.

    Raises:
        ValueError: the data are not as long as the shape says.
    """
    count = math.prod(shape)
    if datatype == BYTES:
        elements = unpack_bytes(data)
        if len(elements) != count:
            raise ValueError(f"its shape {list(shape)} has {count} elements, but {len(elements)} are there")
        return elements
    dtype = DTYPES[datatype]
    if len(data) != count * dtype.itemsize:
        raise ValueError(f"its shape {list(shape)} takes {count * dtype.itemsize} bytes, but {len(data)} are there")
    return np.frombuffer(data, dtype).reshape(shape)


def binary_size(tensor: Mapping[str, Any]) -> int | None:
    """Return how many bytes a tensor has behind the JSON; None: its data are in the JSON.

    Raises:
        ValueError: the size is no number of bytes.
    """
    parameters = tensor.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, Mapping) else None
    if size is not None and (type(size) is not int or size < 0):
        raise ValueError(f"binary_data_size should be a number of bytes, but is {size!r}")
    return size
