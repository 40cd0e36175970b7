"""Every image of a data set through a model, one at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TextIO

import numpy as np

from maskrt.contract.manifest import model_sha256
from maskrt.errors import ArgumentError
from maskrt.runtime import Segmenter, read_image
from maskrt.runtime.backends.registry import find_backend
from maskrt.runtime.inference.progress import Progress


class Predictor(Protocol):
    """Something that finds instances.

    Attributes:
        class_names: the name of each label.
        has_masks: whether it finds masks, too.
        precision: by its name, see `maskrt.contract.precision`.
        backend: the inference engine and its device, for people.
        remark: a sentence on where its results are from, for people; None: there is nothing to say.
        sha256: of all that its results depend on, but for thresholds and device.
        thresholds: score and NMS threshold that it uses.
    """

    class_names: tuple[str, ...]
    has_masks: bool
    precision: str
    backend: str
    remark: str | None
    sha256: str
    thresholds: tuple[float, float]

    def predict(self, image: np.ndarray) -> list[dict[str, Any]]:
        """Find COCO records in an image [H, W, 3] uint8 RGB; `category_id` is the label, `image_id` is 0."""


class FilePredictor:
    """A model file, through the runtime; see `Predictor`.

    Args:
        path: the model file, or the engine with its manifest beside it.
        score_threshold, nms_threshold: None: the model's.
        threads: CPU threads; None: one per core.

    Raises:
        MaskrtError: the file cannot be loaded.
    """

    def __init__(
        self,
        path: Path,
        *,
        score_threshold: float | None = None,
        nms_threshold: float | None = None,
        threads: int | None = None,
    ) -> None:
        self._segmenter = Segmenter(path, threads=threads)
        metadata = self._segmenter.metadata
        self.class_names = self._segmenter.class_names
        self.has_masks = any(output.meaning == "mask_probabilities" for output in metadata.outputs)
        self.precision = metadata.precision
        self.backend = backend_name(self._segmenter)
        self.remark: str | None = None
        self.sha256 = model_sha256(path)
        self.thresholds = (
            metadata.score_threshold if score_threshold is None else score_threshold,
            metadata.nms_threshold if nms_threshold is None else nms_threshold,
        )

    def predict(self, image: np.ndarray) -> list[dict[str, Any]]:
        """Find instances; see `Predictor`."""
        score, nms = self.thresholds
        return self._segmenter.predict(image, score_threshold=score, nms_threshold=nms).to_coco(0)


class ImageResult(NamedTuple):
    """What was found in one image: COCO records with the data set's ids, and the seconds it took without decoding."""

    image_id: int
    seconds: float
    records: list[dict[str, Any]]


def predict_images(
    predictor: Predictor,
    files: Mapping[int, Path],
    categories: Sequence[int | None],
    stream: TextIO,
    sizes: Mapping[int, tuple[int, int]] | None = None,
) -> Iterator[ImageResult]:
    """Yield the result of each image as soon as it is there; nothing is kept.

    Args:
        predictor: the model.
        files: image id → image file.
        categories: category id of each label; detections of a label without one are left out.
        stream: where a progress bar is drawn, if it is a terminal.
        sizes: (height, width) by image id, of the images whose size is to be checked; see `CocoDataset.sizes`.

    Raises:
        ArgumentError: an image has another size.
        ImageError: an image cannot be read.
        ModelError: the model fails on an image.
    """
    progress = Progress(len(files), stream)
    try:
        for number, file in files.items():
            image = read_image(file)
            height, width = image.shape[:2]
            if sizes and sizes.get(number, (height, width)) != (height, width):
                raise ArgumentError(
                    f"{file} has {height}x{width} pixels (height x width), but its annotations are for "
                    f"{'x'.join(map(str, sizes[number]))}. With --images, name the folder of the images that were "
                    "annotated."
                )
            start = time.perf_counter()
            found = predictor.predict(image)
            seconds = time.perf_counter() - start
            records = []
            for record in found:
                category = categories[record["category_id"]]
                if category is not None:
                    records.append({**record, "image_id": number, "category_id": category})
            yield ImageResult(number, seconds, records)
            progress.step(None)
    finally:
        progress.close()


def backend_name(segmenter: Segmenter) -> str:
    """Name the inference engine and its device, for people."""
    return f"{find_backend(segmenter.path).title} ({segmenter.providers[0]})"
