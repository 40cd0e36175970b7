"""Box and mask AP of a model file, by the runtime itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from maskrt.evaluation.metrics.coco import box_and_mask_ap
from maskrt.evaluation.metrics.dataset import CocoDataset, category_ids
from maskrt.evaluation.metrics.predict import FilePredictor, predict_images


@dataclass(frozen=True)
class Accuracy:
    """COCO AP, 0–1; `mask` is None for a model without masks."""

    box: float
    mask: float | None

    def drop_to(self, other: Accuracy) -> float:
        """How much lower the AP of `other` is: the larger one of boxes and masks."""
        drops = [self.box - other.box]
        if self.mask is not None and other.mask is not None:
            drops.append(self.mask - other.mask)
        return max(drops)

    def __str__(self) -> str:
        return f"box AP {self.box:.4f}" + ("" if self.mask is None else f", mask AP {self.mask:.4f}")


def measure_accuracy(path: Path, dataset: CocoDataset, stream: TextIO) -> Accuracy:
    """Runs every image of the data set through the model file, one at a time, and scores the results.

    Raises:
        MaskrtError: the model or an image cannot be read, or the data set does not fit the model.
    """
    predictor = FilePredictor(path)
    categories = category_ids(dataset, predictor.class_names)
    images = predict_images(predictor, dataset.files, categories, stream, dataset.sizes)
    results = [record for image in images for record in image.records]
    box, mask = box_and_mask_ap(dataset.truth, results)
    return Accuracy(box.overall["AP"] or 0.0, None if mask is None else mask.overall["AP"])
