"""What the runtime asks of an inference engine, and which engine runs which file."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from maskrt.runtime.errors import ModelError
from maskrt.runtime.metadata import ModelMetadata


class Detections(NamedTuple):
    """The model's own outputs for a batch of B images with at most K detections each.

    Attributes:
        num_detections: [B] int32; the rows behind that number are zero.
        boxes: [B, K, 4] float32 xyxy, canvas pixels.
        scores: [B, K] float32, descending.
        labels: [B, K] int32, from 1.
        masks: [B, K, M, M] float32 probabilities of the detected class; None if the model has no masks.
    """

    num_detections: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: np.ndarray | None


class Backend(Protocol):
    """A loaded model."""

    metadata: ModelMetadata
    input_dtype: np.dtype
    """uint8 or float32: what the canvas has to be."""
    providers: tuple[str, ...]
    """The devices that do the work, first choice first."""

    def run(
        self,
        images: np.ndarray,
        image_sizes: np.ndarray,
        score_threshold: np.ndarray,
        nms_threshold: np.ndarray,
    ) -> Detections:
        """Run one batch. May be called by several threads at once.

        Args:
            images: [B, H, W, 3] RGB canvas of `input_dtype`, grey levels 0-255.
            image_sizes: [B, 2] int32, the valid height and width inside the canvas.
            score_threshold, nms_threshold: [1] float32.

        Raises:
            ModelError: the engine failed on this batch.
        """


def open_backend(path: Path, *, providers: Sequence[str] | None, threads: int | None) -> Backend:
    """Load a model file with the engine that its suffix names.

    Raises:
        ModelError: no engine for this suffix, or the file cannot be loaded.
        DependencyError: the engine's package is not installed.
    """
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        from maskrt.runtime.onnx_backend import OnnxRuntimeBackend

        return OnnxRuntimeBackend(path, providers=providers, threads=threads)
    if suffix == ".engine":
        raise ModelError(
            f"{path} is a TensorRT engine, and this version of maskrt has no TensorRT backend yet. "
            "Run the ONNX file that the engine was built from."
        )
    raise ModelError(f"{path}: expected a model file that ends in .onnx (or .engine), got {path.name!r}.")
