"""What the runtime asks of an inference engine, and which engine runs which file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from maskrt.contract.metadata import ModelMetadata
from maskrt.errors import ArgumentError, ModelError


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
    resizes: bool
    """Whether `run` takes `Frames`, and resizes them itself."""

    def run(
        self,
        images: Any,
        image_sizes: np.ndarray,
        score_threshold: np.ndarray,
        nms_threshold: np.ndarray,
    ) -> Detections:
        """Run one batch. May be called by several threads at once.

        Args:
            images: [B, H, W, 3] RGB canvas of `input_dtype`, grey levels 0-255, or `preprocess.Frames` if it resizes.
                The TensorRT backend takes arrays on the GPU, too.
            image_sizes: [B, 2] int32, the valid height and width inside the canvas.
            score_threshold, nms_threshold: [1] float32.

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
