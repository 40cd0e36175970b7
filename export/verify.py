"""Runs an exported file once against the PyTorch model it came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import nn

from maskrt.contract.tensors import make_feed
from maskrt.errors import DependencyError, MaskrtError
from maskrt.evaluation.metrics.match import Detections, match_detections
from maskrt.export.families.base import family_of
from maskrt.export.reference import Canvas, CanvasDetections, Reference
from maskrt.options import Thresholds

BOX_TOLERANCE = 0.05
"""Pixels."""
SCORE_TOLERANCE = 1e-4
MASK_TOLERANCE = 1e-2
"""Of a probability; a pixel moves across 0.5 by this much only where it lies there already."""
UNMATCHED_TOLERANCE = 0.02
"""Share of detections that may have no counterpart: where two anchors' objectness differs by less than the rounding of
FP32, either may suppress the other, and the detection that follows from it moves."""


_MIN_SIZE = 320
"""Of the images for a model that takes them as they are; pixels."""

_GRAY = 128

_CONTRASTS = (1.0, 0.5, 0.25)
"""Of the images, in the order in which they are tried."""


class MismatchError(MaskrtError):
    """The exported file does not give what the PyTorch model gives."""


@dataclass(frozen=True)
class Differences:
    """Of the detections of both sides over all verification images; `str()` is a table row for people.

    `unmatched` detections have no counterpart within the tolerances; the largest differences are those of the others.
    """

    detections: int
    unmatched: int
    box: float
    score: float
    mask: float | None

    def __str__(self) -> str:
        text = (
            f"{self.detections} detections, {self.unmatched} without a counterpart; largest differences: "
            f"boxes {self.box:.1e} px (limit {BOX_TOLERANCE:g}), scores {self.score:.1e} (limit {SCORE_TOLERANCE:g})"
        )
        return text if self.mask is None else f"{text}, masks {self.mask:.1e} (limit {MASK_TOLERANCE:g})"

    def within_tolerance(self) -> bool:
        """Whether the file may be called equal to the model."""
        return self.unmatched <= UNMATCHED_TOLERANCE * self.detections and (
            self.mask is None or self.mask <= MASK_TOLERANCE
        )


def verify_onnx(model: nn.Module, path: Path) -> Differences:
    """Compare a file with the model that it was exported from, on two made-up images of different size in one batch.

    The images have the model's own size, so that no resampling blurs the comparison, also with uint8 input. Where the
    model finds nothing at its own score threshold, it is compared at threshold 0. Strong contrast may drive a model to
    where all scores are 1, and rounding decides which detections remain: where the file differs, images of less
    contrast are tried.

    Raises:
        MismatchError: the differences exceed the tolerances above at every contrast; the message states the smallest.
        DependencyError: ONNX Runtime is not installed.
    """
    family = family_of(model)
    reference = family.reference(model, family.spec(model))
    tried = []
    for contrast in _CONTRASTS:
        tried.append(_differences(reference, path, contrast))
        if tried[-1].within_tolerance():
            return tried[-1]
    best = min(tried, key=lambda differences: differences.unmatched / max(differences.detections, 1))
    raise MismatchError(f"the exported file does not match the PyTorch model: {best}")


def _differences(reference: Reference, path: Path, contrast: float) -> Differences:
    resize, rule = reference.spec.pipeline.resize, reference.spec.detection
    images = _made_up_images(min(resize.min_size or _MIN_SIZE, resize.max_size), resize.max_size, contrast)
    canvas = reference.preprocess(images)
    threshold = rule.score_threshold
    expected = reference.infer(canvas)
    if not any(len(detections) for detections in expected):
        threshold = 0.0
        expected = reference.infer(canvas, Thresholds(score=threshold))
    candidate = _run_onnx(path, images, canvas, threshold, rule.nms_threshold)
    return _compare([_to_numpy(detections) for detections in expected], candidate)


def import_onnxruntime() -> ModuleType:
    """ONNX Runtime; raises DependencyError where it is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise DependencyError(
            "verifying the exported file needs ONNX Runtime: `pip install maskrt[cpu]` (or maskrt[gpu])"
        ) from error
    return onnxruntime


def _made_up_images(min_size: int, max_size: int, contrast: float) -> list[np.ndarray]:
    """Two uint8 `[H,W,3]` images with the short side `min_size`, one wide and one tall: clouds and plain shapes."""
    rng = np.random.default_rng(0)
    long_side = min(max_size, min_size * 5 // 4)
    images = []
    for height, width in ((min_size, long_side), (long_side, min_size)):
        grid = torch.from_numpy(rng.uniform(0, 255, (1, 3, 9, 9)).astype(np.float32))
        clouds = torch.nn.functional.interpolate(grid, size=(height, width), mode="bicubic", align_corners=False)
        image = clouds[0].permute(1, 2, 0).numpy().copy()
        y, x = np.mgrid[0:height, 0:width]
        for number in range(12):
            cy, cx, size = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(0.04, 0.2) * min_size
            distance = np.hypot(y - cy, x - cx) if number % 2 else np.maximum(abs(y - cy), abs(x - cx))
            image[distance < size] = rng.uniform(0, 255, 3)
        image = (image + rng.normal(0, 4, image.shape) - _GRAY) * contrast + _GRAY
        images.append(np.clip(image, 0, 255).astype(np.uint8))
    return images


def _to_numpy(detections: CanvasDetections) -> Detections:
    masks = detections.mask_probabilities
    return Detections(
        detections.boxes.numpy(),
        detections.scores.numpy(),
        detections.labels.numpy(),
        None if masks is None else masks.numpy(),
    )


def _run_onnx(
    path: Path, images: list[np.ndarray], reference: Canvas, score_threshold: float, nms_threshold: float
) -> list[Detections]:
    """On a canvas of the reference's size, in which the images lie as they are."""
    sizes = np.array(reference.image_sizes, np.int32)
    height, width = reference.tensors.shape[2:]
    session = import_onnxruntime().InferenceSession(str(path), providers=["CPUExecutionProvider"])
    dtype = np.uint8 if "uint8" in session.get_inputs()[0].type else np.float32
    canvas = np.zeros((len(images), height, width, 3), dtype)
    for row, image in zip(canvas, images, strict=True):
        row[: image.shape[0], : image.shape[1]] = image
    names = [output.name for output in session.get_outputs()]
    values = session.run(names, make_feed(canvas, sizes, score_threshold, nms_threshold))
    outputs = dict(zip(names, values, strict=True))
    return [
        Detections(
            outputs["boxes"][i, :num],
            outputs["scores"][i, :num],
            outputs["labels"][i, :num],
            outputs["masks"][i, :num] if "masks" in outputs else None,
        )
        for i, num in enumerate(outputs["num_detections"])
    ]


def _compare(reference: list[Detections], candidate: list[Detections]) -> Differences:
    detections = unmatched = 0
    box = score = mask = 0.0
    with_masks = all(side.masks is not None for side in (*reference, *candidate))
    for ours, theirs in zip(candidate, reference, strict=True):
        i, j = match_detections(theirs, ours).pairs.T
        box_differences = np.abs(theirs.boxes[i] - ours.boxes[j]).max(axis=1, initial=0)
        score_differences = np.abs(theirs.scores[i] - ours.scores[j])
        same = (box_differences <= BOX_TOLERANCE) & (score_differences <= SCORE_TOLERANCE)
        i, j = i[same], j[same]
        detections += max(len(theirs), len(ours))
        unmatched += max(len(theirs), len(ours)) - len(i)
        box = max(box, float(box_differences[same].max(initial=0)))
        score = max(score, float(score_differences[same].max(initial=0)))
        if theirs.masks is not None and ours.masks is not None:
            # NumPy's maximum, unlike Python's, keeps a NaN.
            mask = float(np.maximum(mask, np.abs(theirs.masks[i] - ours.masks[j]).max(initial=0)))
    return Differences(detections, unmatched, box, score, mask if with_masks else None)
