"""What the runtime asks of an inference engine, and which engine runs which file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from maskrt.contract.metadata import ModelMetadata
from maskrt.contract.tensors import BOXES, DETECTION_OUTPUTS, LABELS, NUM_DETECTIONS, SCORES
from maskrt.errors import ArgumentError, ModelError


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
        """The outputs of a model file, by name."""
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


def open_backend(path: Path, *, providers: Sequence[str] | None, threads: int | None) -> Backend:
    """Load a model file with the inference engine that its suffix names.

    Args:
        path: a `.onnx` file for ONNX Runtime, or an `.engine` with its manifest for TensorRT.
        providers, threads: for ONNX Runtime; TensorRT uses the current GPU, and no CPU threads.

    Raises:
        ModelError: no engine for this suffix, or the file cannot be loaded.
        DependencyError: the engine's package is not installed.
        ArgumentError: providers are given for a TensorRT engine.
    """
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        from maskrt.runtime.backends.onnxruntime import OnnxRuntimeBackend

        return OnnxRuntimeBackend(path, providers=providers, threads=threads)
    if suffix == ".engine":
        from maskrt.runtime.backends.tensorrt.backend import TensorRtBackend

        if providers is not None:
            raise ArgumentError(
                f"providers choose among ONNX Runtime's devices, but {path} is a TensorRT engine, which runs on the "
                "GPU that it was built for. Leave them out."
            )
        return TensorRtBackend(path)
    raise ModelError(f"{path}: expected a model file that ends in .onnx or .engine, got {path.name!r}.")
