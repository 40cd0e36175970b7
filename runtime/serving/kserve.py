"""The KServe protocol, version 2, with the extension for binary tensors: requests in, responses out.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol and, for the extension and the
model's configuration, Triton's protocol documents.
"""

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from maskrt.contract.metadata import ModelMetadata, load_json
from maskrt.contract.serving import (
    BYTES,
    CLASS_NAMES,
    HEADER_LENGTH,
    IMAGE,
    INPUTS,
    KEYPOINT_NAMES,
    PIXELS,
    TensorSpec,
    binary_size,
    from_binary,
    outputs_of,
    to_binary,
)
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
from maskrt.runtime.serving.refusals import Refusal
from maskrt.runtime.serving.requests import fraction
from maskrt.runtime.serving.service import Thresholds
from maskrt.runtime.structures.instances import Instances

PLATFORM = "maskrt"
VERSION = "1"

_TENSORS = {spec.name: spec for spec in INPUTS}
Value = np.ndarray | list[bytes]


class InferRequest(NamedTuple):
    """What a client asks for.

    Attributes:
        id: the client's own, given back.
        pictures: image files, or pixels.
        thresholds: of each.
        outputs: the names of those wanted, and whether each is to be binary.
    """

    id: str | None
    pictures: Sequence[bytes | np.ndarray]
    thresholds: Sequence[Thresholds]
    outputs: dict[str, bool]


def read_request(body: bytes, header_length: str | None, metadata: ModelMetadata, most: int) -> InferRequest:
    """Read the body of an inference request.

    Args:
        body: JSON, perhaps with binary tensors behind it.
        header_length: the HTTP header that says how much of it is JSON; None: all of it.
        metadata: of the model.
        most: pictures in a request.

    Raises:
        Refusal: it is damaged, or asks for what there is not.
    """
    length = len(body)
    if header_length is not None:
        if not header_length.isdecimal() or int(header_length) > length:
            raise Refusal(400, f"{HEADER_LENGTH} is {header_length[:20]!r}, but the body has {length} bytes.")
        length = int(header_length)
    try:
        content = load_json(body[:length])
    except UnicodeDecodeError:
        raise Refusal(400, "The body is not JSON: it is not text in UTF-8.") from None
    except ValueError as error:
        raise Refusal(400, f"The body is not JSON: {error}.") from None
    if not isinstance(content, dict):
        raise Refusal(400, "The body should be a JSON object.")
    identifier = content.get("id")
    if not isinstance(identifier, str | None):
        raise Refusal(400, "id should be text.")
    inputs = _read_inputs(content.get("inputs"), body[length:])
    pictures = _pictures(inputs, most)
    score = _thresholds(inputs, SCORE_THRESHOLD, metadata.score_threshold, len(pictures))
    nms = _thresholds(inputs, NMS_THRESHOLD, metadata.nms_threshold, len(pictures))
    thresholds = [Thresholds(*pair) for pair in zip(score, nms, strict=True)]
    return InferRequest(identifier, pictures, thresholds, _wanted(content, metadata))


def _read_inputs(tensors: Any, binary: bytes) -> dict[str, Value]:
    if not isinstance(tensors, list) or not tensors or not all(isinstance(tensor, dict) for tensor in tensors):
        raise Refusal(400, "inputs should be a list of tensors.")
    values: dict[str, Value] = {}
    at = 0
    for tensor in tensors:
        name = tensor.get("name")
        spec = _TENSORS.get(name) if isinstance(name, str) else None
        if spec is None:
            raise Refusal(400, f"There is no input {str(name)[:50]!r}; there are {', '.join(_TENSORS)}.")
        if name in values:
            raise Refusal(400, f"The input {name} is given twice.")
        try:
            shape = _shape(tensor, spec)
            size = binary_size(tensor)
            if size is None:
                values[spec.name] = _from_json(tensor.get("data"), spec.datatype, shape)
            else:
                if "data" in tensor:
                    raise ValueError("it has both data and a binary_data_size")
                if at + size > len(binary):
                    raise ValueError(f"{size} bytes should follow the JSON, but {len(binary) - at} are left")
                values[spec.name] = from_binary(binary[at : at + size], spec.datatype, shape)
                at += size
        except ValueError as error:
            raise Refusal(400, f"The input {name} is damaged: {error}.") from None
    if at != len(binary):
        raise Refusal(400, f"{len(binary) - at} bytes follow the tensors.")
    return values


def _shape(tensor: Mapping[str, Any], spec: TensorSpec) -> list[int]:
    if tensor.get("datatype") != spec.datatype:
        raise ValueError(f"its datatype should be {spec.datatype}, but is {str(tensor.get('datatype'))[:20]!r}")
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError("its shape should be a list of whole numbers")
    if len(shape) == 1 and spec.shape == (-1, 1):  # one value for each picture, as one axis or as two
        shape = [*shape, 1]
    fits = len(shape) == len(spec.shape) and all(
        wanted in (-1, side) for side, wanted in zip(shape, spec.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"its shape should be {list(spec.shape)} (-1: any), but is {shape}")
    return shape


def _from_json(data: Any, datatype: str, shape: Sequence[int]) -> Value:
    if not isinstance(data, list):
        raise ValueError("its data should be a list")
    if datatype == BYTES:
        elements = [element for row in data for element in (row if isinstance(row, list) else [row])]
        if len(elements) != math.prod(shape):
            raise ValueError(f"its shape {list(shape)} has {math.prod(shape)} elements, but {len(elements)} are there")
        return [_from_base64(element) for element in elements]
    try:
        values = np.asarray(data)
    except ValueError:
        raise ValueError("its data should be numbers, in rows of one length") from None
    if values.size and values.dtype.kind not in ("iu" if datatype == "UINT8" else "iuf"):
        raise ValueError(f"its data should be numbers of {datatype}")
    if datatype == "UINT8" and values.size and not 0 <= values.min() <= values.max() <= 255:
        raise ValueError("its data should be from 0 to 255")
    if values.size != math.prod(shape):
        raise ValueError(f"its shape {list(shape)} has {math.prod(shape)} elements, but {values.size} are there")
    return values.reshape(shape).astype(np.uint8 if datatype == "UINT8" else np.float64)


def _from_base64(element: Any) -> bytes:
    try:
        return base64.b64decode(element, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise ValueError("in JSON, BYTES are base64 text") from None


def _pictures(inputs: Mapping[str, Value], most: int) -> list[bytes | np.ndarray]:
    if (IMAGE in inputs) == (PIXELS in inputs):
        raise Refusal(400, f"Expected one of the inputs {IMAGE} and {PIXELS}, but got {', '.join(inputs)}.")
    pictures: list[bytes | np.ndarray] = list(inputs[IMAGE] if IMAGE in inputs else inputs[PIXELS])
    if not pictures:
        raise Refusal(400, "The request has no picture.")
    if len(pictures) > most:
        raise Refusal(413, f"The request has {len(pictures)} pictures; at most {most} are taken at once.")
    for picture in pictures:
        if not len(picture) or (isinstance(picture, np.ndarray) and not picture.size):
            raise Refusal(400, "A picture of the request is empty.")
    return pictures


def _thresholds(inputs: Mapping[str, Value], name: str, default: float, pictures: int) -> list[float]:
    values = inputs.get(name)
    if values is None:
        return [default] * pictures
    numbers = np.asarray(values).reshape(-1).tolist()
    if len(numbers) != pictures:
        raise Refusal(400, f"{name} has {len(numbers)} values for {pictures} pictures.")
    return [fraction(name, number, default) for number in numbers]


def _wanted(content: Mapping[str, Any], metadata: ModelMetadata) -> dict[str, bool]:
    known = [spec.name for spec in outputs_of(metadata)]
    default = _is_true(content, "binary_data_output")
    outputs = content.get("outputs", [])
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        raise Refusal(400, "outputs should be a list of tensors.")
    wanted = {}
    for output in outputs:
        name = output.get("name")
        if name not in known:
            raise Refusal(400, f"There is no output {str(name)[:50]!r}; there are {', '.join(known)}.")
        wanted[name] = _is_true(output, "binary_data", default)
    return wanted or dict.fromkeys(known, default)


def _is_true(tensor: Mapping[str, Any], name: str, default: bool = False) -> bool:
    parameters = tensor.get("parameters", {})
    value = parameters.get(name, default) if isinstance(parameters, dict) else None
    if not isinstance(value, bool):
        raise Refusal(400, f"{name} should be true or false.")
    return value


def outputs_for(
    found: Sequence[Instances], rles: Sequence[list[bytes]], specs: Sequence[TensorSpec]
) -> dict[str, Value]:
    """Lay the instances of several pictures into tensors; see `contract.serving`.

    Args:
        found: N of them.
        rles: the counts of the masks of each.
        specs: of the outputs.
    """
    count, most = len(found), max(map(len, found))
    values: dict[str, Value] = {
        NUM_DETECTIONS: np.array([[len(instances)] for instances in found], np.int32),
        IMAGE_SIZES: np.array([instances.image_size for instances in found], np.int32),
    }
    rows: dict[str, list[np.ndarray | None]] = {
        BOXES: [instances.boxes for instances in found],
        SCORES: [instances.scores for instances in found],
        LABELS: [instances.labels for instances in found],
        KEYPOINTS: [instances.keypoints for instances in found],
    }
    for name, _, shape in specs:
        if name == MASKS:
            values[name] = [row for masks in rles for row in (*masks, *[b""] * (most - len(masks)))]
        elif name in rows:
            padded = np.zeros((count, most, *shape[2:]), np.int32 if name == LABELS else np.float32)
            for target, source in zip(padded, rows[name], strict=True):
                if source is not None:
                    target[: len(source)] = source
            values[name] = padded
    return values


def write_response(
    request: InferRequest, values: Mapping[str, Value], specs: Sequence[TensorSpec], model: str
) -> tuple[bytes, int | None]:
    """Write the body of a response; also how many bytes of it are JSON, None: all."""
    tensors, binary = [], list[bytes]()
    most = len(values[SCORES][0])
    for name, datatype, _ in specs:
        if name not in request.outputs:
            continue
        value = values[name]
        shape = [len(request.pictures), most] if isinstance(value, list) else list(value.shape)
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
        if request.outputs[name]:
            binary.append(to_binary(value, datatype))
            tensor["parameters"] = {"binary_data_size": len(binary[-1])}
        elif isinstance(value, list):
            tensor["data"] = [element.decode("ascii") for element in value]
        else:
            tensor["data"] = value.reshape(-1).tolist()
        tensors.append(tensor)
    content: dict[str, Any] = {"model_name": model, "model_version": VERSION, "outputs": tensors}
    if request.id is not None:
        content["id"] = request.id
    head = json.dumps(content).encode()
    return b"".join((head, *binary)), len(head) if binary else None


def model_metadata(model: str, metadata: ModelMetadata) -> dict[str, Any]:
    """Describe the model: `GET /v2/models/NAME`."""
    return {
        "name": model,
        "versions": [VERSION],
        "platform": PLATFORM,
        "inputs": [spec._asdict() for spec in INPUTS],
        "outputs": [spec._asdict() for spec in outputs_of(metadata)],
    }


def model_config(model: str, metadata: ModelMetadata, batch_size: int) -> dict[str, Any]:
    """Describe how it is served, with the names of classes and keypoints: `GET /v2/models/NAME/config`."""

    def tensor(spec: TensorSpec) -> dict[str, Any]:
        kind = "STRING" if spec.datatype == BYTES else spec.datatype
        return {"name": spec.name, "data_type": f"TYPE_{kind}", "dims": spec.shape[1:]}

    return {
        "name": model,
        "platform": PLATFORM,
        "max_batch_size": batch_size,
        "input": [tensor(spec) for spec in INPUTS],
        "output": [tensor(spec) for spec in outputs_of(metadata)],
        "parameters": {
            name: {"string_value": json.dumps(value)}
            for name, value in (
                (CLASS_NAMES, metadata.class_names),
                (KEYPOINT_NAMES, metadata.keypoint_names),
                (SCORE_THRESHOLD, metadata.score_threshold),
                (NMS_THRESHOLD, metadata.nms_threshold),
            )
        },
    }
