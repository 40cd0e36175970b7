"""What the runtime asks of an inference engine."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from maskrt.contract.metadata import ModelMetadata, output_tensors
from maskrt.contract.tensors import (
    BOXES,
    DETECTION_OUTPUTS,
    IMAGE_TYPES,
    IMAGES,
    LABELS,
    NUM_DETECTIONS,
    SCORES,
    input_tensors,
)
from maskrt.runtime.masks.paste import PasteCounts


class Detections(NamedTuple):
    """The model's own outputs for a batch of B images with at most K detections each.

    Attributes:
        num_detections: [B] int32; the rows behind that number are zero.
        boxes: [B, K, 4] float32 xyxy, canvas pixels.
        scores: [B, K] float32, descending.
        labels: [B, K] int32, from 1.
        others: the outputs that the model's metadata declares beside these, [B, K, ...] float32, by name.
    """

    num_detections: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    others: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, outputs: Mapping[str, np.ndarray]) -> "Detections":
        """Return the outputs of a model file, by name."""
        others = {name: value for name, value in outputs.items() if name not in DETECTION_OUTPUTS}
        return cls(outputs[NUM_DETECTIONS], outputs[BOXES], outputs[SCORES], outputs[LABELS], others)

    @property
    def outputs(self) -> dict[str, np.ndarray]:
        """All of them by name, in the order of the graph."""
        return {**dict(zip(DETECTION_OUTPUTS, self[:4], strict=True)), **self.others}

    def images(self, chosen: slice) -> "Detections":
        """Those of some images of the batch."""
        return Detections(
            self.num_detections[chosen],
            self.boxes[chosen],
            self.scores[chosen],
            self.labels[chosen],
            {name: rows[chosen] for name, rows in self.others.items()},
        )


class Backend(Protocol):
    """A loaded model."""

    metadata: ModelMetadata
    input_dtype: np.dtype
    """uint8 or float32: what the canvas has to be."""
    providers: tuple[str, ...]
    """The devices that do the work, first choice first."""
    runs_at_once: int
    """How many calls of `run` at the same time keep its device busy."""
    paste_counts: PasteCounts | None
    """How masks become run lengths on its device; None: on the CPU."""
    resizes: bool
    """Whether `run` takes `Frames`, and resizes them itself."""

    def run(self, feed: Mapping[str, Any]) -> Detections:
        """Run one batch. May be called by several threads at once.

        Args:
            feed: the model's inputs by name, as `contract.tensors.make_feed` makes them. `images` may be
                `transforms.canvas.Frames` if the backend resizes; the TensorRT backend takes arrays on the GPU, too.

        Raises:
            ModelError: the engine failed on this batch.
        """


def output_names(metadata: ModelMetadata) -> list[str]:
    """Return the names of a model's outputs, in the order of the graph."""
    return [tensor.name for tensor in output_tensors(metadata)]


def is_maskrt_model(metadata: ModelMetadata, inputs: Mapping[str, np.dtype], outputs: Mapping[str, np.dtype]) -> bool:
    """Whether a loaded model has the inputs and outputs that its metadata calls for, in types that a feed has."""
    image_type = inputs.get(IMAGES)
    if image_type is None or image_type not in IMAGE_TYPES.values():
        return False
    expected = {tensor.name: tensor.dtype for tensor in input_tensors(image_type)}
    return dict(inputs) == expected and dict(outputs) == {
        tensor.name: tensor.dtype for tensor in output_tensors(metadata)
    }
