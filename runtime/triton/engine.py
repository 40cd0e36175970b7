"""The model file as a model of the same Triton, which runs it in a backend of its own: TensorRT or ONNX Runtime."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maskrt.contract.metadata import ModelMetadata, load_json, parse_metadata
from maskrt.contract.tensors import IMAGE_TYPES
from maskrt.errors import ModelError
from maskrt.runtime.backends.base import Detections, output_names
from maskrt.runtime.masks.paste import PasteCounts


class EngineModel:
    """A model of this Triton, asked in place of an inference engine; see `Backend`.

    Args:
        name: of the model.
        metadata: of the file that it runs.
        input_dtype: of its images.
    """

    providers: tuple[str, ...] = ("Triton",)
    runs_at_once = 1
    paste_counts: PasteCounts | None = None
    resizes = False

    def __init__(self, name: str, metadata: ModelMetadata, input_dtype: np.dtype) -> None:
        self._name = name
        self.metadata = metadata
        self.input_dtype = input_dtype

    def run(self, feed: Mapping[str, Any]) -> Detections:
        """Have the model run one batch.

        Raises:
            ModelError: it failed, or its queue is full.
        """
        import triton_python_backend_utils as triton

        request = triton.InferenceRequest(
            model_name=self._name,
            requested_output_names=output_names(self.metadata),
            inputs=[triton.Tensor(name, np.ascontiguousarray(value)) for name, value in feed.items()],
            preferred_memory=triton.PreferredMemory(triton.TRITONSERVER_MEMORY_CPU, 0),
        )
        response = request.exec()
        if response.has_error():
            raise ModelError(f"The model {self._name} failed: {response.error().message()}")
        return Detections.of({tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()})


def read_engine_metadata(path: Path) -> tuple[ModelMetadata, np.dtype]:
    """Return what a model repository says of the file of its engine model, and the type of that file's images.

    Args:
        path: JSON with the `properties` of the file and its `image_type`.

    Raises:
        ModelError: it is missing or damaged.
    """
    try:
        content = load_json(path.read_bytes())
        properties, dtype = content["properties"], IMAGE_TYPES[content["image_type"]]
    except (OSError, ValueError, TypeError, KeyError):
        raise ModelError(f"{path} is missing or damaged. Write the repository anew with `maskrt package`.") from None
    return parse_metadata(properties, str(path)), dtype
