"""All differences of one file from its source model, over the images so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from maskrt.evaluation.compare.detections import DetectionDifferences
from maskrt.evaluation.compare.tensors import worst_of
from maskrt.evaluation.results.compare import TensorDifference


@dataclass(frozen=True)
class ImageDifferences:
    """Of one image.

    Attributes:
        image: its name.
        tensors: in the order in which the image passes them: the canvas, then those of the network.
        detections: matched with the source model's.
        pasting_iou: of the masks as both sides paste them, 0 to 1; None without masks.
    """

    image: str
    tensors: Sequence[TensorDifference]
    detections: DetectionDifferences
    pasting_iou: float | None


@dataclass
class FileDifferences:
    """Over all images so far: of each tensor and of the pasting the worst, of the detections all.

    Attributes:
        worst: the image on which the detections differ most, and how; None before the first image.
    """

    tensors: dict[str, TensorDifference] = field(default_factory=dict)
    detections: DetectionDifferences = field(default_factory=DetectionDifferences)
    pasting_iou: float | None = None
    worst: tuple[str, DetectionDifferences] | None = None

    def add(self, seen: ImageDifferences) -> None:
        """Take in those of another image."""
        for tensor in seen.tensors:
            before = self.tensors.get(tensor.name)
            self.tensors[tensor.name] = tensor if before is None else worst_of(before, tensor)
        self.detections.add(seen.detections)
        if seen.pasting_iou is not None:
            self.pasting_iou = min(seen.pasting_iou, 1.0 if self.pasting_iou is None else self.pasting_iou)
        if self.worst is None or seen.detections.badness() > self.worst[1].badness():
            self.worst = seen.image, seen.detections
