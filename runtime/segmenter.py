"""Images in, instances out."""

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np

from maskrt.runtime.backend import Detections, open_backend
from maskrt.runtime.errors import ArgumentError, ModelError
from maskrt.runtime.images import check_image, read_image
from maskrt.runtime.instances import Instances
from maskrt.runtime.metadata import ModelMetadata
from maskrt.runtime.preprocess import Batch, make_batch, resize_boxes
from maskrt.runtime.thresholds import round_down_to_float32

ImageLike = np.ndarray | str | Path


class Segmenter:
    """A trained model, ready for use.

        segmenter = Segmenter("model.onnx")
        instances = segmenter.predict("street.jpg")
        print(instances)                              # Instances(3 in 640x427 px: 2 person, 1 dog)
        instances[instances.scores > 0.8].rle()

    `predict` is `preprocess`, `infer` and `postprocess` one after the other; a pipeline may call them itself,
    from several threads.

    Args:
        path: a model file: `.onnx` runs in ONNX Runtime.
        providers: ONNX Runtime execution providers, first choice first, e.g. `["CPUExecutionProvider"]`.
            None: CUDA if the installed ONNX Runtime has it, else the CPU.
        threads: CPU threads of the inference engine. None: one per core.

    Raises:
        ModelError: the file is missing, damaged, not a maskrt model, or from a newer maskrt.
        DependencyError: the inference engine's package is not installed.
        ArgumentError: unknown provider, or fewer than 1 thread.
    """

    def __init__(self, path: str | Path, *, providers: Sequence[str] | None = None, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise ArgumentError(f"threads should be at least 1, but is {threads}.")
        self.path = Path(path)
        self._backend = open_backend(self.path, providers=providers, threads=threads)

    @property
    def metadata(self) -> ModelMetadata:
        """What the model file says about itself: class names, resize policy, default thresholds, ..."""
        return self._backend.metadata

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each label; label 0 is the background."""
        return self._backend.metadata.class_names

    @property
    def input_dtype(self) -> np.dtype:
        """uint8 or float32: whether resized grey levels are rounded before the model sees them."""
        return self._backend.input_dtype

    @property
    def providers(self) -> tuple[str, ...]:
        """The devices that do the work, first choice first."""
        return self._backend.providers

    def __repr__(self) -> str:
        metadata = self.metadata
        return (
            f"Segmenter({self.path.name}: {metadata.model_family}, {len(self.class_names) - 1} classes, "
            f"{metadata.precision}, {self.input_dtype} input, {self.providers[0]})"
        )

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is an image, never a sequence of them
        self, images: ImageLike, *, score_threshold: float | None = None, nms_threshold: float | None = None
    ) -> Instances: ...
    @overload
    def predict(
        self,
        images: Sequence[ImageLike],
        *,
        score_threshold: float | None = None,
        nms_threshold: float | None = None,
    ) -> list[Instances]: ...
    def predict(
        self,
        images: ImageLike | Sequence[ImageLike],
        *,
        score_threshold: float | None = None,
        nms_threshold: float | None = None,
    ) -> Instances | list[Instances]:
        """Find the instances in one image, or in several as one batch.

        Args:
            images: a uint8 RGB array [H, W, 3], the path of an image file, or a sequence of these. Sizes may
                differ: as in torchvision, smaller images of a batch are padded to the largest.
            score_threshold: only instances with a higher score, 0 to 1. None: the source model's.
            nms_threshold: of two boxes of a class that overlap by more than this IoU, 0 to 1, only the better
                one stays. None: the source model's.

        Returns:
            `Instances` for one image, a list of them for a sequence.

        Raises:
            ArgumentError: not an image, or a threshold outside of 0 to 1.
            ImageError: an image file cannot be read.
            ModelError: the inference engine failed.
        """
        single = isinstance(images, (np.ndarray, str, Path))
        if not single and not isinstance(images, Sequence):
            check_image(images)  # says what was expected
        batch_images: Sequence[ImageLike] = [images] if single else images  # type: ignore[list-item, assignment]
        if not batch_images:
            return []
        arrays = [read_image(image) if isinstance(image, (str, Path)) else check_image(image) for image in batch_images]
        batch = self.preprocess(arrays)
        detections = self.infer(batch, score_threshold=score_threshold, nms_threshold=nms_threshold)
        results = self.postprocess(detections, batch)
        return results[0] if single else results

    def preprocess(self, images: Sequence[np.ndarray]) -> Batch:
        """Resize uint8 RGB images [H, W, 3] and lay them on one canvas. The first stage of `predict`."""
        return make_batch(images, self.metadata, self.input_dtype)

    def infer(
        self, batch: Batch, *, score_threshold: float | None = None, nms_threshold: float | None = None
    ) -> Detections:
        """Run the model on a batch. The second stage of `predict`; same thresholds, same errors."""
        score = _threshold("score_threshold", score_threshold, self.metadata.score_threshold)
        nms = _threshold("nms_threshold", nms_threshold, self.metadata.nms_threshold)
        # Scores are compared in float32 by torchvision. IoUs are float32 there too, but compared with the
        # float64 threshold, which the largest float32 below it reproduces.
        return self._backend.run(
            batch.canvas, batch.image_sizes, np.array([score], dtype=np.float32), np.array([round_down_to_float32(nms)])
        )

    def postprocess(self, detections: Detections, batch: Batch) -> list[Instances]:
        """Bring detections back to the original images. The last stage of `predict`."""
        results = []
        for i, (size, original_size) in enumerate(zip(batch.image_sizes, batch.original_sizes, strict=True)):
            number = int(detections.num_detections[i])
            boxes, labels = detections.boxes[i, :number], detections.labels[i, :number]
            if not np.isfinite(boxes).all():
                raise ModelError(
                    f"{self.path} gave boxes that are not finite numbers: its weights are damaged, or too "
                    f"large for its precision ({self.metadata.precision})."
                )
            if not 0 <= labels.max(initial=0) < len(self.class_names):
                raise ModelError(
                    f"{self.path} is damaged: it gave label {labels.max()}, but its metadata names only "
                    f"{len(self.class_names)} classes."
                )
            results.append(
                Instances(
                    boxes=resize_boxes(boxes, size, original_size),
                    scores=detections.scores[i, :number].copy(),
                    labels=labels.copy(),
                    # Copied, so that the rows behind the detections are not kept alive.
                    mask_probabilities=None if detections.masks is None else detections.masks[i, :number].copy(),
                    class_names=self.class_names,
                    image_size=original_size,
                )
            )
        return results


def _threshold(name: str, value: float | None, default: float) -> float:
    if value is None:
        return default
    if not 0 <= value <= 1:
        raise ArgumentError(f"{name} should be between 0 and 1, but is {value}.")
    return value
