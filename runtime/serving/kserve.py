"""The KServe protocol, version 2, with the extension for binary tensors: requests in, responses out.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol and, for the extension and the
model's configuration, Triton's protocol documents.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from maskrt.contract.metadata import ModelMetadata, load_json
from maskrt.contract.serving import (
    BYTES,
    CLASS_NAMES,
    DTYPES,
    HEADER_LENGTH,
    INPUTS,
    KEYPOINT_NAMES,
    TensorSpec,
    binary_size,
    from_binary,
    outputs_of,
    to_binary,
)
from maskrt.contract.tensors import NMS_THRESHOLD, SCORE_THRESHOLD
from maskrt.runtime.questions.question import Question
from maskrt.runtime.questions.tensors import read_questions
from maskrt.runtime.serving.refusals import Refusal

PLATFORM = "maskrt"
VERSION = "1"

_TENSORS = {spec.name: spec for spec in INPUTS}
_LENGTH = re.compile(r"[0-9]{1,18}")


class InferRequest(NamedTuple):
    """What a client asks for.

    Attributes:
        id: the client's own, given back.
        questions: the pictures, with their thresholds.
        outputs: the names of those wanted, and whether each is to be binary.
    """

    id: str | None
    questions: Sequence[Question]
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
        ArgumentError: its tensors are none of a request.
    """
    length = len(body)
    if header_length is not None:
        if not _LENGTH.fullmatch(header_length) or int(header_length) > length:
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
    inputs = _read_inputs(content.get("inputs"), body[length:], most)
    return InferRequest(identifier, read_questions(inputs, metadata), _wanted(content, metadata))


def _read_inputs(tensors: Any, binary: bytes, most: int) -> dict[str, np.ndarray]:
    if not isinstance(tensors, list) or not tensors or not all(isinstance(tensor, dict) for tensor in tensors):
        raise Refusal(400, "inputs should be a list of tensors.")
    values: dict[str, np.ndarray] = {}
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
            if shape[0] > most:
                raise Refusal(413, f"The request has {shape[0]} pictures; at most {most} are taken at once.")
            size = binary_size(tensor)
            if size is None:
                values[spec.name] = _from_json(tensor.get("data"), spec.datatype, shape)
            else:
                if "data" in tensor:
                    raise ValueError("it has both data and a binary_data_size")
                if at + size > len(binary):
                    raise ValueError(f"{size} bytes should follow the JSON, but {len(binary) - at} are left")
                value = from_binary(binary[at : at + size], spec.datatype, shape)
                values[spec.name] = _of_objects(value, shape) if isinstance(value, list) else value
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
    if not spec.fits(shape):
        raise ValueError(f"its shape should be {list(spec.shape)} (-1: any), but is {shape}")
    return shape


def _of_objects(elements: Sequence[bytes], shape: Sequence[int]) -> np.ndarray:
    array = np.empty(len(elements), np.object_)
    array[:] = elements
    return array.reshape(shape)


def _from_json(data: Any, datatype: str, shape: Sequence[int]) -> np.ndarray:
    if not isinstance(data, list):
        raise ValueError("its data should be a list")
    if datatype == BYTES:
        elements = [element for row in data for element in (row if isinstance(row, list) else [row])]
        if len(elements) != math.prod(shape):
            raise ValueError(f"its shape {list(shape)} has {math.prod(shape)} elements, but {len(elements)} are there")
        return _of_objects([_from_base64(element) for element in elements], shape)
    numbers = _flat(data, len(shape))
    if len(numbers) != math.prod(shape):
        raise ValueError(f"its shape {list(shape)} has {math.prod(shape)} elements, but {len(numbers)} are there")
    # NumPy is not asked what they are: of texts it would make rows as long as the longest.
    if not set(map(type, numbers)) <= ({int} if datatype == "UINT8" else {int, float}):
        raise ValueError(f"its data should be numbers of {datatype}")
    if datatype == "UINT8" and numbers and not 0 <= min(numbers) <= max(numbers) <= 255:
        raise ValueError("its data should be from 0 to 255")
    try:
        return np.array(numbers, DTYPES[datatype]).reshape(shape)
    except OverflowError:
        raise ValueError(f"its data should be numbers of {datatype}") from None


def _flat(data: list[Any], most: int) -> list[Any]:
    """Return the elements of a list, or of lists of one length in it, and so on, `most` of them in each other."""
    for _ in range(most - 1):
        if not any(isinstance(row, list) for row in data):
            return data
        if not all(isinstance(row, list) for row in data) or len(set(map(len, data))) > 1:
            raise ValueError("its data should be numbers, in rows of one length")
        data = list(chain.from_iterable(data))
    return data


def _from_base64(element: Any) -> bytes:
    try:
        return base64.b64decode(element, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise ValueError("in JSON, BYTES are base64 text") from None


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


def write_response(
    request: InferRequest, values: Mapping[str, np.ndarray], specs: Sequence[TensorSpec], model: str
) -> tuple[bytes, int | None]:
    """Write the body of a response; also how many bytes of it are JSON, None: all.

    Args:
        request: that is answered.
        values: the outputs that it wants, from `lay_out`.
        specs: of these.
        model: its name.
    """
    tensors, binary = [], list[bytes]()
    for name, datatype, _ in specs:
        value = values[name]
        elements = value.reshape(-1).tolist() if datatype == BYTES else value
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(value.shape)}
        if request.outputs[name]:
            binary.append(to_binary(elements, datatype))
            tensor["parameters"] = {"binary_data_size": len(binary[-1])}
        elif datatype == BYTES:
            tensor["data"] = [element.decode("ascii") for element in elements]
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
