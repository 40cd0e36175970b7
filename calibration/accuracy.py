"""Box and mask AP of a model file, by the runtime itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from maskrt.calibration.coco_dataset import CocoDataset, category_ids
from maskrt.evaluation.coco import average_precision
from maskrt.runtime import Segmenter
from maskrt.runtime.progress import Progress


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
    segmenter = Segmenter(path)
    categories = category_ids(dataset, segmenter.class_names)
    results = []
    has_masks = False
    progress = Progress(len(dataset.files), stream)
    try:
        for number, file in dataset.files.items():
            instances = segmenter.predict(file)
            has_masks = instances.mask_probabilities is not None
            for record in instances.to_coco(number):
                category = categories[record["category_id"]]
                if category is not None:
                    results.append({**record, "category_id": category})
            if stream.isatty():
                progress.step("")
    finally:
        progress.close()
    return Accuracy(
        average_precision(dataset.truth, results, "bbox")["AP"],
        average_precision(dataset.truth, results, "segm")["AP"] if has_masks else None,
    )
