"""Runs an exported file once against the PyTorch model it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from maskrt.contract.tensors import KEYPOINTS, MASKS
from maskrt.errors import DependencyError, MaskrtError
from maskrt.evaluation.metrics.match import Detections, match_detections
from maskrt.export.families.base import family_of
from maskrt.export.reference import Canvas, CanvasDetections, PictureDetections, Reference
from maskrt.export.verification_pictures import made_up_pictures
from maskrt.options import Thresholds
from maskrt.runtime.segmenter import Segmenter
from maskrt.runtime.structures.instances import Instances

BOX_TOLERANCE = 0.05
"""Pixels of the canvas."""
SCORE_TOLERANCE = 1e-4
MASK_TOLERANCE = 1e-2
"""Of a probability; a pixel moves across 0.5 by this much only where it lies there already."""
KEYPOINT_TOLERANCE = 0.1
"""Pixels of the canvas."""
KEYPOINT_SCORE_TOLERANCE = 1e-3
"""Of a score above 1 its share: torchvision's are logits."""
UNMATCHED_TOLERANCE = 0.02
"""Share of detections that may have no counterpart: where two anchors' objectness differs by less than the rounding of
FP32, either may suppress the other, and the detection that follows from it moves."""
_PASTED_IOU = 0.98
_PASTED_PIXELS = 2
"""A mask in the picture is the same if it overlaps by this much, or if no more pixels than this differ."""

_SATURATED = 1 - 2.0**-20
"""A score in float32 from which rounding decides which of two is the higher one."""

_CONTRASTS = (1.0, 0.5, 0.25)
"""Of the pictures, in the order in which they are tried."""

SKIP = "--skip-verification (verify=False in Python) writes the file all the same, marked as unverified"
"""The way past the comparison, as part of a sentence."""


class MismatchError(MaskrtError):
    """The exported file does not give what the PyTorch model gives, or nothing tells whether it does."""

    code = "MRT-012"


@dataclass(frozen=True)
class Differences:
    """Of the detections of both sides over all verification pictures; `str()` is a table row for people.

    Attributes:
        detections: of the side that has more.
        unmatched: those without a counterpart within the tolerances; the largest differences are those of the others.
        box, score, mask: the largest differences: pixels of the canvas, score, probability.
        misplaced: those of the same rows whose box or pasted mask in the picture is not the same.
        saturated: those whose score is 1 but for rounding.
        keypoints, moved: how many there are, and those of them that are not within the tolerances: where a heatmap has
            two maxima that differ by less than the rounding of FP32, either may be found.
    """

    detections: int
    unmatched: int
    box: float
    score: float
    mask: float | None
    misplaced: int = 0
    saturated: int = 0
    keypoints: int = 0
    moved: int = 0

    def __str__(self) -> str:
        text = (
            f"{self.detections} detections, {self.unmatched} without a counterpart; largest differences: "
            f"boxes {self.box:.1e} px (limit {BOX_TOLERANCE:g}), scores {self.score:.1e} (limit {SCORE_TOLERANCE:g})"
        )
        if self.mask is not None:
            text = f"{text}, masks {self.mask:.1e} (limit {MASK_TOLERANCE:g})"
        if self.keypoints:
            text = f"{text}; {self.moved} of {self.keypoints} keypoints differ by more than {KEYPOINT_TOLERANCE:g} px"
        if self.misplaced:
            text = f"{text}; {self.misplaced} elsewhere in the picture"
        return f"{text}; {self.saturated} scores are 1 but for rounding" if self.saturated else text

    def within_tolerance(self) -> bool:
        """Whether the file may be called equal to the model."""
        allowed = UNMATCHED_TOLERANCE * self.detections
        return (
            self.unmatched <= allowed
            and self.misplaced <= allowed
            and (self.mask is None or self.mask <= MASK_TOLERANCE)
            and self.moved <= UNMATCHED_TOLERANCE * self.keypoints
        )

    def is_saturated(self) -> bool:
        """Whether rounding decides the order of most of the detections, so that their being equal says nothing."""
        return 2 * self.saturated > self.detections


def verify_onnx(model: nn.Module, path: Path) -> Differences:
    """Compare a file with the model that it was exported from, on two made-up pictures of different size in one batch.

    The file is opened with `Segmenter`, which resizes, runs and pastes; the other side is the model's own resizing,
    network and pasting, and its whole forward pass, where its framework is installed. Where the model finds nothing at
    its own score threshold, it is compared at threshold 0. Strong contrast may drive a model to where all scores are 1,
    and rounding decides which detections remain: there, and where the file differs, pictures of less contrast are
    tried.

    Raises:
        MismatchError: the differences exceed the tolerances above at every contrast, and the message states the
            smallest; or nothing is found, or scores are saturated, at every contrast.
        DependencyError: ONNX Runtime is not installed.
        ModelError: the runtime does not take the file.
    """
    require_onnxruntime()
    family = family_of(model)
    reference = family.reference(model, family.spec(model))
    segmenter = Segmenter(path, providers=["CPUExecutionProvider"])
    tried = []
    for contrast in _CONTRASTS:
        tried.append(_differences(reference, segmenter, contrast))
        if tried[-1].detections and tried[-1].within_tolerance() and not tried[-1].is_saturated():
            return tried[-1]
    best = min(
        tried, key=lambda each: (not each.detections, (each.unmatched + each.misplaced) / (each.detections or 1))
    )
    if best.is_saturated():
        raise MismatchError(
            f"cannot tell whether the exported file is equal to the PyTorch model: {best.saturated} of "
            f"{best.detections} detections have the score 1, so that rounding decides which of them remain. A trained "
            f"model has other scores on pictures of its kind. {SKIP}."
        )
    if not best.detections:
        raise MismatchError(f"the PyTorch model finds nothing, even at the score threshold 0, to compare. {SKIP}.")
    raise MismatchError(f"the exported file does not match the PyTorch model: {best}")


def require_onnxruntime() -> None:
    """Check that exported files can be run.

    Raises:
        DependencyError: ONNX Runtime is not installed.
    """
    try:
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise DependencyError(
            "verifying the exported file needs ONNX Runtime: `pip install maskrt[cpu]` (or maskrt[gpu])"
        ) from error


def _differences(reference: Reference, segmenter: Segmenter, contrast: float) -> Differences:
    rule = reference.spec.detection
    pictures = made_up_pictures(reference.spec.pipeline.resize, contrast)
    canvas = reference.preprocess(pictures)
    thresholds = Thresholds()
    expected = reference.infer(canvas)
    if not any(len(detections) for detections in expected):
        thresholds = Thresholds(score=0.0)
        expected = reference.infer(canvas, thresholds)
    in_pictures = [_of_pictures(each) for each in reference.postprocess(expected, canvas)]
    _check_forward(reference, pictures, thresholds, canvas, in_pictures)

    batch = segmenter.preprocess(pictures)
    _check_canvas(canvas, batch.image_sizes.tolist(), batch.canvas.shape[1:3])
    score_threshold = rule.score_threshold if thresholds.score is None else thresholds.score
    outputs = segmenter.infer(batch, score_threshold=score_threshold, nms_threshold=rule.nms_threshold)
    masks, keypoints = outputs.others.get(MASKS), outputs.others.get(KEYPOINTS)
    candidate = [
        Detections(
            outputs.boxes[i, :number],
            outputs.scores[i, :number],
            outputs.labels[i, :number],
            None if masks is None else masks[i, :number],
            None if keypoints is None else keypoints[i, :number],
        )
        for i, number in enumerate(outputs.num_detections)
    ]
    theirs = [_of_canvas(each) for each in expected]
    pasted = [_of_instances(each) for each in segmenter.postprocess(outputs, batch)]
    differences = _compare(theirs, candidate)
    return replace(
        differences,
        misplaced=_misplaced(in_pictures, pasted, canvas),
        saturated=sum(int(np.count_nonzero(each.scores >= _SATURATED)) for each in theirs),
    )


def _check_canvas(canvas: Canvas, sizes: list[list[int]], shape: tuple[int, ...]) -> None:
    theirs = [list(size) for size in canvas.image_sizes]
    if theirs != sizes or tuple(canvas.tensors.shape[2:]) != tuple(shape):
        raise MismatchError(
            f"the exported file does not match the PyTorch model: pictures become {sizes} on a canvas of "
            f"{list(shape)}, but the model makes {theirs} on one of {list(canvas.tensors.shape[2:])}"
        )


def _check_forward(
    reference: Reference,
    pictures: Sequence[np.ndarray],
    thresholds: Thresholds,
    canvas: Canvas,
    parts: Sequence[Detections],
) -> None:
    """Check that the model's whole forward pass is what its parts give: nothing of it was overridden.

    Raises:
        MismatchError: it is not.
    """
    whole = reference.forward(pictures, thresholds)
    if whole is None:
        return
    misplaced = _misplaced([_of_pictures(each) for each in whole], parts, canvas)
    total = sum(map(len, whole))
    if misplaced > UNMATCHED_TOLERANCE * max(total, 1):
        raise MismatchError(
            f"cannot export this model: called as a whole, model(images), it finds {total} objects in two pictures, "
            f"and {misplaced} of them are not what its transform, backbone, rpn and roi_heads give in turn. "
            "Something between them is not torchvision's"
        )


def _compare(reference: Sequence[Detections], candidate: Sequence[Detections]) -> Differences:
    """On the canvas."""
    detections = unmatched = keypoints = moved = 0
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
        if theirs.keypoints is not None and ours.keypoints is not None:
            same_points = _same_keypoints(theirs.keypoints[i], ours.keypoints[j], KEYPOINT_TOLERANCE)
            keypoints, moved = keypoints + same_points.size, moved + int((~same_points).sum())
    mask_difference = mask if with_masks else None
    return Differences(detections, unmatched, box, score, mask_difference, keypoints=keypoints, moved=moved)


def _same_keypoints(theirs: np.ndarray, ours: np.ndarray, tolerance: float) -> np.ndarray:
    """Tell [..., K] whether keypoints [..., K, 3] are the same: within so many pixels, and their scores."""
    differences = np.abs(theirs - ours)
    scores = KEYPOINT_SCORE_TOLERANCE * np.maximum(np.abs(theirs[..., 2]), 1)
    same: np.ndarray = (differences[..., :2] <= tolerance).all(axis=-1) & (differences[..., 2] <= scores)
    return same


def _misplaced(reference: Sequence[Detections], candidate: Sequence[Detections], canvas: Canvas) -> int:
    """How many detections of either side have no counterpart in the pictures, with its box, mask and keypoints."""
    misplaced = 0
    sizes = zip(canvas.picture_sizes, canvas.image_sizes, strict=True)
    for theirs, ours, (picture, image) in zip(reference, candidate, sizes, strict=True):
        scale = max(1.0, picture[0] / image[0], picture[1] / image[1])
        tolerance = BOX_TOLERANCE * scale
        same = 0
        for i, j in match_detections(theirs, ours).pairs:
            near = np.abs(theirs.boxes[i] - ours.boxes[j]).max() <= tolerance
            near &= abs(theirs.scores[i] - ours.scores[j]) <= SCORE_TOLERANCE
            if theirs.keypoints is not None and ours.keypoints is not None:
                # Most of them: a single one may have moved on the canvas already.
                near &= bool(
                    _same_keypoints(theirs.keypoints[i], ours.keypoints[j], KEYPOINT_TOLERANCE * scale).mean() >= 0.5
                )
            same += bool(near and _same_mask(theirs, ours, i, j))
        misplaced += max(len(theirs), len(ours)) - same
    return misplaced


def _same_mask(theirs: Detections, ours: Detections, i: int, j: int) -> bool:
    if theirs.masks is None or ours.masks is None:
        return theirs.masks is ours.masks
    different = np.count_nonzero(theirs.masks[i] != ours.masks[j])
    union = np.count_nonzero(theirs.masks[i] | ours.masks[j])
    return bool(different <= max(_PASTED_PIXELS, (1 - _PASTED_IOU) * union))


def _of_canvas(found: CanvasDetections) -> Detections:
    return _to_numpy(found, found.mask_probabilities)


def _of_pictures(found: PictureDetections) -> Detections:
    return _to_numpy(found, found.masks)


def _to_numpy(found: CanvasDetections | PictureDetections, masks: Tensor | None) -> Detections:
    boxes, scores, labels = found.boxes.numpy(), found.scores.numpy(), found.labels.numpy()
    keypoints = None if found.keypoints is None else found.keypoints.numpy()
    return Detections(boxes, scores, labels, None if masks is None else masks.numpy(), keypoints)


def _of_instances(found: Instances) -> Detections:
    masks = None if found.mask_probabilities is None else found.masks()
    return Detections(found.boxes, found.scores, found.labels, masks, found.keypoints)
