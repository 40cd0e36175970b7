"""One model file under comparison: what has been seen of it so far, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from polygraphy.comparator import RunResults

from maskrt.evaluation.compare.budget import Budget
from maskrt.evaluation.compare.detections import (
    DetectionDifferences,
    Records,
    compare_detections,
    pasting_iou,
)
from maskrt.evaluation.compare.points import PROPOSALS
from maskrt.evaluation.compare.reference import preprocess
from maskrt.evaluation.compare.tensors import MAX_SNR, ExposedFile, TensorDifference
from maskrt.evaluation.metrics.predict import backend_name
from maskrt.evaluation.source_model import SourceModel
from maskrt.evaluation.torch_results import torch_results
from maskrt.runtime import ModelError, Segmenter
from maskrt.runtime.transforms.canvas import Batch

IMAGES, CLASS_NAMES, DETECTIONS, PASTED_MASKS = "images", "class names", "detections", "pasted masks"
"""Places of a difference outside of the network; the first is in front of it, the others behind."""

_GREY_LEVELS = {"uint8": 1.1, "float32": 0.01}
"""How much the resized image may differ from torchvision's, by type of the file's input; see `runtime.resize`."""

_PASTING_IOU = 0.999
"""Pasting is exact but for pixels that lie on the threshold to the last bit."""


class Reference:
    """What the source model makes of one image `[H,W,3]` uint8 RGB.

    Attributes:
        records: what it finds.
        levels: the image after resizing and padding, grey levels `[1,H,W,3]` float32.
    """

    def __init__(self, source: SourceModel, image: np.ndarray) -> None:
        self.source, self.image = source, image
        self.records: Records = torch_results(source.model, image, 0)
        self.levels = preprocess(source.model, image)
        self._tensors: dict[tuple[Any, ...], RunResults] = {}

    def tensors(self, file: ExposedFile, batch: Batch) -> RunResults:
        """Its tensors on the canvas of a file; computed once for all files with the same canvas and points."""
        key = (*(point.name for point in file.points), batch.canvas.dtype, batch.canvas.shape, batch.canvas.tobytes())
        if key not in self._tensors:
            self._tensors[key] = file.reference(self.source.model, batch)
        return self._tensors[key]


class Candidate:
    """A model file and its differences from the source model, image by image.

    Args:
        path: `.onnx`, or `.engine`, of which only preprocessing, detections and pasting can be compared.
        name: unique among the candidates.
        budgets: by precision.
        score_threshold: detections of at least this score must be found again.
        threads: CPU threads; None: one per core.

    Raises:
        MaskrtError: the file cannot be loaded.
    """

    def __init__(
        self, path: Path, name: str, budgets: Mapping[str, Budget], score_threshold: float, threads: int | None = None
    ) -> None:
        self.path, self.name = path, name
        self.segmenter = Segmenter(path, threads=threads)
        self._threads = threads
        precision = self.segmenter.metadata.precision
        if precision not in budgets:
            raise ModelError(f"{path} is damaged: its precision is {precision!r}, not one of {', '.join(budgets)}.")
        self._budget = budgets[precision]
        self._score_threshold = score_threshold
        self._file = self._expose() if path.suffix.lower() == ".onnx" else None
        self._tensors: dict[str, TensorDifference] = {}
        self._detections = DetectionDifferences()
        self._worst: tuple[str, DetectionDifferences] | None = None
        self._pasting_iou: float | None = None
        self._class_names: str | None = None
        self._begin: TensorDifference | None = None

    def add(self, image: str, reference: Reference) -> list[dict[str, Any]]:
        """Compares the file with the source model on one image; returns the file's detections as COCO records."""
        batch = self.segmenter.preprocess([reference.image])
        (instances,) = self.segmenter.postprocess(self.segmenter.infer(batch), batch)
        self._add_tensor(_canvas_difference(reference.levels, batch.canvas, image))
        if self._file is not None:
            for difference in self._file.compare(reference.tensors(self._file, batch), batch, image):
                self._add_tensor(difference)
        clear = instances[instances.scores >= self._score_threshold]
        iou = pasting_iou(clear)
        if iou is not None:
            self._pasting_iou = iou if self._pasting_iou is None else min(iou, self._pasting_iou)
        records = instances.to_coco(0)
        our_names = self.segmenter.class_names
        their_names = reference.source.names_beside(our_names)
        self._class_names = _different_names(their_names, our_names)
        scale = batch.image_sizes[0, 0] / batch.original_sizes[0][0]
        detections = compare_detections(
            reference.records, records, their_names, our_names, self._score_threshold, float(scale)
        )
        self._detections.add(detections)
        if self._worst is None or detections.badness() > self._worst[1].badness():
            self._worst = image, detections
        return records

    @property
    def first_in_network(self) -> TensorDifference | None:
        """The first point of the network that misses the budget."""
        points = (d for d in self._tensors.values() if d.name not in (IMAGES, PROPOSALS))
        return next((d for d in points if not self._within(d)), None)

    def look_closer(self, seen: TensorDifference, source: SourceModel, image: np.ndarray) -> None:
        """Where does the difference begin that is seen at a point? Compares the layers in front of it, on one image.

        A layer in front of features that are within the budget is above suspicion. In front of a prediction it is not:
        predictions have less noise than what they are made from.
        """
        assert self._file is not None
        upstream = {point.name: point.upstream for point in self._file.points}
        features = {name for name in upstream for other in upstream if name != other and name in upstream[other]}
        cleared = [upstream[name] for name in features & self._tensors.keys() if self._within(self._tensors[name])]
        file = self._expose(upstream[seen.name].difference(*cleared))
        batch = self.segmenter.preprocess([image])
        differences = file.compare(file.reference(source.model, batch), batch, seen.image, noise_alone=True)
        self._begin = next((d for d in differences if d.name != PROPOSALS and not self._within(d)), None)

    def result(self) -> dict[str, Any]:
        """The entry of "candidates" in compare.json; see `maskrt.evaluation.compare.cli`."""
        reasons = dict(self._reasons())
        first = next(iter(reasons), None)
        return {
            "name": self.name,
            "file": str(self.path),
            "precision": self.segmenter.metadata.precision,
            "backend": backend_name(self.segmenter),
            "verdict": "fail" if reasons else "pass",
            "reasons": list(reasons.values()),
            "budget": self._budget.to_json(),
            "first_difference": first,
            "tensors": [{**asdict(d), "within_budget": self._within(d)} for d in self._tensors.values()],
            "detections": self._detections.to_json(),
            "pasting_iou": self._pasting_iou,
            "worst_image": None if self._worst is None else {"file": self._worst[0], **self._worst[1].to_json()},
        }

    def _expose(self, names: Collection[str] | None = None) -> ExposedFile:
        return ExposedFile(self.path, self.segmenter.metadata, names=names, threads=self._threads)

    def _add_tensor(self, difference: TensorDifference) -> None:
        if difference.name in self._tensors:
            self._tensors[difference.name].add(difference)
        else:
            self._tensors[difference.name] = difference

    def _within(self, difference: TensorDifference) -> bool:
        if difference.name == IMAGES:
            return difference.max_abs is not None and difference.max_abs <= self._grey_levels
        if difference.name == PROPOSALS:
            return difference.found is not None and difference.found >= self._budget.proposals
        return difference.snr_db >= self._budget.snr_db

    @property
    def _grey_levels(self) -> float:
        return _GREY_LEVELS[self.segmenter.input_dtype.name]

    def _reasons(self) -> Iterator[tuple[str, str]]:
        """Each place that misses the budget, in the order in which an image passes them, with a sentence.

        What a layer spoils is spoilt in all behind it, so that only the first point of the network is named.
        """
        for difference in self._tensors.values():
            if self._within(difference):
                continue
            if difference.name == IMAGES:
                yield IMAGES, self._images_reason(difference)
            elif difference.name == PROPOSALS:
                yield (
                    PROPOSALS,
                    f"proposals: {difference.found or 0:.1%} are found again, budget {self._budget.proposals:.1%} "
                    f"(worst on {difference.image})",
                )
            elif difference is self.first_in_network:
                yield self._network_reason(difference)
        if self._class_names is not None:
            yield CLASS_NAMES, self._class_names
        if self._pasting_iou is not None and self._pasting_iou < _PASTING_IOU:
            yield (
                PASTED_MASKS,
                f"pasted masks: IoU {self._pasting_iou:.4f} with what torchvision pastes into the image from the same "
                f"boxes and mask probabilities (at least {_PASTING_IOU})",
            )
        if misses := list(self._detection_misses()):
            yield DETECTIONS, f"detections: {'; '.join(misses)}"

    def _images_reason(self, difference: TensorDifference) -> str:
        if difference.max_abs is None:
            return "images: the canvas has another size than torchvision's: min_size or max_size differ"
        return (
            f"images: after resizing, up to {difference.max_abs:.3g} grey levels from torchvision's, of which "
            f"{self._grey_levels:g} are rounding (worst on {difference.image})"
        )

    def _network_reason(self, seen: TensorDifference) -> tuple[str, str]:
        begin = self._begin or seen
        behind = "" if begin.name == seen.name else f", and on from there at {seen.name}"
        noise = f"signal to noise {begin.snr_db:.1f} dB, budget {self._budget.snr_db:g} dB"
        if begin.snr_db == -MAX_SNR:
            noise = "of another shape than in the source model, or not finite"
        return begin.name, f"{begin.name} (ONNX tensor {begin.onnx}): {noise}{behind} (on {begin.image})"

    def _detection_misses(self) -> Iterator[str]:
        found, budget = self._detections.to_json(), self._budget
        if self._detections.unmatched > budget.unmatched:
            yield (
                f"{found['missing']} of {found['reference']} are missing and {found['extra']} are extra "
                f"({self._detections.unmatched:.1%}, budget {budget.unmatched:.1%})"
            )
        if not self._detections.box:
            return
        if found["box_px"] > budget.box_px:
            yield f"boxes differ by {found['box_px']:.3g} px (budget {budget.box_px:g})"
        if found["score"] > budget.score:
            yield f"scores differ by {found['score']:.3g} (budget {budget.score:g})"
        if found["mask_iou"] is not None and found["mask_iou"] < budget.mask_iou:
            yield f"masks have an IoU of {found['mask_iou']:.4f} (budget {budget.mask_iou:g})"


def _canvas_difference(theirs: np.ndarray, ours: np.ndarray, image: str) -> TensorDifference:
    """Of the image after resizing and padding, in grey levels."""
    if theirs.shape != ours.shape:
        return TensorDifference(IMAGES, None, None, None, None, None, -MAX_SNR, None, image)
    noise = np.abs(theirs - ours)
    power = float((theirs.astype(np.float64) ** 2).mean()), float((noise.astype(np.float64) ** 2).mean())
    snr = MAX_SNR if power[1] == 0 else 10 * math.log10(max(power[0], 1e-20) / power[1])
    return TensorDifference(
        IMAGES, None, float(noise.max()), float(noise.mean()), None, None, min(snr, MAX_SNR), None, image
    )


def _different_names(theirs: Sequence[str], ours: Sequence[str]) -> str | None:
    """A sentence on the labels whose names differ; None where none does."""
    if len(theirs) != len(ours):
        return f"class names: the source model has {len(theirs) - 1} classes, the file {len(ours) - 1}"
    different = [label for label, names in enumerate(zip(theirs, ours, strict=True)) if len(set(names)) > 1]
    if not different:
        return None
    label = different[0]
    return (
        f"class names: label {label} is {theirs[label]!r} in the source model and {ours[label]!r} in the file; "
        f"{len(different)} of {len(ours)} labels differ"
    )
