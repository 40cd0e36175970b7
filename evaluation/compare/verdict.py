"""The verdict on a model file: the places where its differences miss the budget, each with a sentence."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from maskrt.contract.precision import Budget
from maskrt.evaluation.compare.canvas import IMAGES
from maskrt.evaluation.compare.detections import DetectionDifferences
from maskrt.evaluation.compare.differences import FileDifferences
from maskrt.evaluation.compare.points import PROPOSALS
from maskrt.evaluation.compare.tensors import MAX_SNR
from maskrt.evaluation.results.compare import TensorDifference

CLASS_NAMES, DETECTIONS, PASTED_MASKS = "class names", "detections", "pasted masks"
"""Places of a difference behind the network."""

_PASTING_IOU = 0.999
"""Pasting is exact but for pixels that lie on the threshold to the last bit."""


@dataclass(frozen=True)
class Limits:
    """What the differences of a file may amount to: the budget, and of the canvas so many grey levels."""

    budget: Budget
    grey_levels: float

    def keeps(self, difference: TensorDifference) -> bool:
        """Tell whether a tensor is within the limits."""
        if difference.name == IMAGES:
            return difference.max_abs is not None and difference.max_abs <= self.grey_levels
        if difference.name == PROPOSALS:
            return difference.found is not None and difference.found >= self.budget.proposals
        return difference.snr_db >= self.budget.snr_db


def first_in_network(tensors: Collection[TensorDifference], limits: Limits) -> TensorDifference | None:
    """Find the first point of the network that misses the budget."""
    points = (tensor for tensor in tensors if tensor.name not in (IMAGES, PROPOSALS))
    return next((tensor for tensor in points if not limits.keeps(tensor)), None)


def judge(
    seen: FileDifferences, limits: Limits, names: tuple[Sequence[str], Sequence[str]], begin: TensorDifference | None
) -> dict[str, str]:
    """Name each place that misses the budget, in the order in which an image passes them, with a sentence.

    What a layer spoils is spoilt in all behind it, so that only the first point of the network is named.

    Args:
        seen: the differences, over all images.
        limits: what they may amount to.
        names: of each label, in the source model and in the file.
        begin: the layer where the first difference of the network begins, if somebody looked.
    """
    places = dict(_network_misses(list(seen.tensors.values()), limits, begin))
    if (different := different_names(*names)) is not None:
        places[CLASS_NAMES] = different
    if seen.pasting_iou is not None and seen.pasting_iou < _PASTING_IOU:
        places[PASTED_MASKS] = (
            f"pasted masks: IoU {seen.pasting_iou:.4f} with what the source model's framework pastes from the same "
            f"boxes and mask probabilities (at least {_PASTING_IOU})"
        )
    if misses := list(detection_misses(seen.detections, limits.budget)):
        places[DETECTIONS] = f"detections: {'; '.join(misses)}"
    return places


def _network_misses(
    tensors: Sequence[TensorDifference], limits: Limits, begin: TensorDifference | None
) -> Iterator[tuple[str, str]]:
    first = first_in_network(tensors, limits)
    for tensor in tensors:
        if limits.keeps(tensor):
            continue
        if tensor.name == IMAGES:
            yield IMAGES, _images_reason(tensor, limits.grey_levels)
        elif tensor.name == PROPOSALS:
            yield (
                PROPOSALS,
                f"proposals: {tensor.found or 0:.1%} are found again, budget {limits.budget.proposals:.1%} "
                f"(worst on {tensor.image})",
            )
        elif tensor is first:
            yield _layer_reason(tensor, begin or tensor, limits.budget)


def _images_reason(difference: TensorDifference, grey_levels: float) -> str:
    if difference.max_abs is None:
        return "images: the canvas has another size than the source model's: the rule of resizing differs"
    return (
        f"images: after resizing, up to {difference.max_abs:.3g} grey levels from the source model's, of which "
        f"{grey_levels:g} are rounding (worst on {difference.image})"
    )


def _layer_reason(seen: TensorDifference, begin: TensorDifference, budget: Budget) -> tuple[str, str]:
    behind = "" if begin.name == seen.name else f", and on from there at {seen.name}"
    noise = f"signal to noise {begin.snr_db:.1f} dB, budget {budget.snr_db:g} dB"
    if begin.snr_db == -MAX_SNR:
        noise = "of another shape than in the source model, or not finite"
    return begin.name, f"{begin.name} (ONNX tensor {begin.onnx}): {noise}{behind} (on {begin.image})"


def different_names(theirs: Sequence[str], ours: Sequence[str]) -> str | None:
    """Write a sentence on the labels whose names differ, of which there are as many; None where none does."""
    different = [label for label, names in enumerate(zip(theirs, ours, strict=True)) if len(set(names)) > 1]
    if not different:
        return None
    label = different[0]
    return (
        f"class names: label {label} is {theirs[label]!r} in the source model and {ours[label]!r} in the file; "
        f"{len(different)} of {len(ours)} labels differ"
    )


def detection_misses(differences: DetectionDifferences, budget: Budget) -> Iterator[str]:
    """Yield a sentence, without a stop, for each value of the detections that misses the budget."""
    found, unmatched = differences.counts(), differences.unmatched
    if unmatched > budget.unmatched:
        yield (
            f"{found.missing} of {found.reference} are missing and {found.extra} are extra "
            f"({unmatched:.1%}, budget {budget.unmatched:.1%})"
        )
    if found.box_px is not None and found.box_px > budget.box_px:
        yield f"boxes differ by {found.box_px:.3g} px (budget {budget.box_px:g})"
    if found.score is not None and found.score > budget.score:
        yield f"scores differ by {found.score:.3g} (budget {budget.score:g})"
    if found.mask_iou is not None and found.mask_iou < budget.mask_iou:
        yield f"masks have an IoU of {found.mask_iou:.4f} (budget {budget.mask_iou:g})"
    if found.keypoint_size is not None and found.keypoint_size > budget.keypoint_size:
        yield (f"keypoints lie {found.keypoint_size:.3g} of their box's size apart (budget {budget.keypoint_size:g})")
