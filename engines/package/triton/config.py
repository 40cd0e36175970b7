"""The configurations of the two models of a repository, from what `contract` says of their tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskrt.contract.metadata import ModelMetadata, output_tensors
from maskrt.contract.serving import (
    BYTES,
    CLASS_NAMES,
    INPUTS,
    KEYPOINT_NAMES,
    PIXELS,
    TensorSpec,
    outputs_of,
)
from maskrt.contract.tensors import (
    IMAGES,
    NMS_THRESHOLD,
    SCORE_THRESHOLD,
    FileTensor,
    input_tensors,
    make_feed,
)
from maskrt.engines.package.triton.pbtxt import Name
from maskrt.runtime.questions.question import PictureLimits
from maskrt.runtime.transforms.canvas import make_batch
from maskrt.runtime.triton.names import ENGINE, MAX_BYTES, MAX_PIXELS, MODEL, MODEL_FILE

BACKENDS = {"onnxruntime": "model.onnx", "tensorrt": "model.plan"}
"""What runs the engine model: Triton's backend, and the name that it wants the file to have."""

_QUEUED = 64
"""Requests that wait for a model at the most; Triton refuses those beyond with 503."""
_DELAY_MICROSECONDS = 2000
"""That a request waits for others to share its batch."""

_TYPES = {"uint8": "TYPE_UINT8", "int32": "TYPE_INT32", "float32": "TYPE_FP32"}


@dataclass(frozen=True)
class Serving:
    """How the models are to be served.

    Attributes:
        batch_size: pictures in a run of the model at the most.
        instances: of the Python model; each is a process.
        warm_up: (height, width) of pictures that it shall be ready for before the first request.
    """

    batch_size: int
    instances: int
    warm_up: tuple[tuple[int, int], ...]


def front_config(metadata: ModelMetadata, serving: Serving, model_file: str | None) -> dict[str, Any]:
    """Return the configuration of the Python model.

    Args:
        metadata: of the model file.
        serving: see there.
        model_file: that it runs itself; None: it asks the engine model.
    """
    limits = PictureLimits()
    parameters = {
        **{
            name: json.dumps(value, ensure_ascii=False)
            for name, value in (
                (CLASS_NAMES, metadata.class_names),
                (KEYPOINT_NAMES, metadata.keypoint_names),
                (SCORE_THRESHOLD, metadata.score_threshold),
                (NMS_THRESHOLD, metadata.nms_threshold),
            )
        },
        MAX_BYTES: str(limits.max_bytes),
        MAX_PIXELS: str(limits.max_pixels),
        **({} if model_file is None else {MODEL_FILE: model_file}),
    }
    return {
        "name": MODEL,
        "backend": "python",
        "max_batch_size": serving.batch_size,
        "input": [_front_input(spec) for spec in INPUTS],
        "output": [_front_tensor(spec) for spec in outputs_of(metadata)],
        "dynamic_batching": {
            "max_queue_delay_microseconds": _DELAY_MICROSECONDS,
            "default_queue_policy": {"max_queue_size": _QUEUED},
        },
        "instance_group": [{"kind": Name("KIND_CPU"), "count": serving.instances}],
        "parameters": [{"key": name, "value": {"string_value": value}} for name, value in parameters.items()],
        # The engine model is warmed up by itself: here it may not be there yet.
        **({} if model_file is None else {"model_warmup": _front_warm_up(serving)}),
    }


def _front_tensor(spec: TensorSpec) -> dict[str, Any]:
    kind = "STRING" if spec.datatype == BYTES else spec.datatype
    return {"name": spec.name, "data_type": Name(f"TYPE_{kind}"), "dims": spec.shape[1:]}


def _front_input(spec: TensorSpec) -> dict[str, Any]:
    # Pictures of different sizes are put together, too: the Python model sorts them by the sizes of their canvases.
    ragged = {"allow_ragged_batch": True} if spec.name == PIXELS else {}
    return {**_front_tensor(spec), "optional": True, **ragged}


def _front_warm_up(serving: Serving) -> list[dict[str, Any]]:
    return [
        {
            "name": f"{height}x{width} {batch}",
            "batch_size": batch,
            "inputs": {
                "key": PIXELS,
                "value": {"data_type": Name("TYPE_UINT8"), "dims": [height, width, 3], "zero_data": True},
            },
        }
        for height, width in serving.warm_up
        for batch in _batches(serving)
    ]


def _batches(serving: Serving) -> list[int]:
    """Return sizes to warm up with, the largest first: memory grows with the batch."""
    return sorted({1, serving.batch_size}, reverse=True)


def engine_config(
    metadata: ModelMetadata, image_type: np.dtype, serving: Serving, backend: str
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the configuration of the model that runs the model file, and the data of its warm-up by file name.

    Args:
        metadata: of the model file.
        image_type: of its images.
        serving: see there.
        backend: a key of `BACKENDS`.
    """
    warm_up, data = _engine_warm_up(metadata, image_type, serving)
    config = {
        "name": ENGINE,
        "backend": backend,
        "max_batch_size": serving.batch_size,
        "input": [_file_tensor(tensor) for tensor in input_tensors(image_type)],
        "output": [_file_tensor(tensor) for tensor in output_tensors(metadata)],
        # Only canvases of one size share a batch, as Triton does it with shapes that differ. What waits comes from
        # the instances of the Python model, which wait for their answers.
        "dynamic_batching": {},
        "default_model_filename": BACKENDS[backend],
        **({"model_warmup": warm_up} if warm_up else {}),
    }
    return config, data


def _file_tensor(tensor: FileTensor) -> dict[str, Any]:
    # Triton has no tensors of the batch's axis alone: clients see [B, 1], the file has [B].
    scalar = {"dims": [1], "reshape": {"shape": []}}
    return {
        "name": tensor.name,
        "data_type": Name(_TYPES[tensor.dtype.name]),
        **({"dims": tensor.shape} if tensor.shape else scalar),
    }


def _engine_warm_up(
    metadata: ModelMetadata, image_type: np.dtype, serving: Serving
) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    warm_up: list[dict[str, Any]] = []
    data: dict[str, bytes] = {}
    for height, width in serving.warm_up:
        blank = np.zeros((height, width, 3), np.uint8)
        laid = make_batch([blank], metadata.pipeline, image_type, resize=False)
        feed = make_feed(None, laid.image_sizes, metadata.score_threshold, metadata.nms_threshold)
        inputs = [_blank_canvas(image_type, laid.frames.shape[1:])]
        for tensor in input_tensors(image_type):
            if tensor.name != IMAGES:
                file = f"{tensor.name}_{height}x{width}"
                data[file] = feed[tensor.name].tobytes()  # of one picture, which Triton repeats
                inputs.append(_from_file(tensor, file))
        warm_up += [
            {"name": f"{height}x{width} {batch}", "batch_size": batch, "inputs": inputs} for batch in _batches(serving)
        ]
    return warm_up, data


def _blank_canvas(image_type: np.dtype, shape: Sequence[int]) -> Mapping[str, Any]:
    value = {"data_type": Name(_TYPES[image_type.name]), "dims": list(shape), "zero_data": True}
    return {"key": IMAGES, "value": value}


def _from_file(tensor: FileTensor, file: str) -> Mapping[str, Any]:
    value = {"data_type": Name(_TYPES[tensor.dtype.name]), "dims": list(tensor.shape), "input_data_file": file}
    return {"key": tensor.name, "value": value}
