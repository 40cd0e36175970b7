"""What the benchmark times: a model file in the runtime, or a source model by itself, cut into the same stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from maskrt.evaluation.metrics.predict import backend_name
from maskrt.options import Thresholds
from maskrt.runtime import MaskrtError, Segmenter, read_image
from maskrt.runtime.structures.instances import Instances

_OF_THE_MODEL = Thresholds()


@dataclass(frozen=True)
class Side:
    """One way from image files to encoded masks.

    Attributes:
        name: of the model file, or of the way of running PyTorch.
        precision: by its name, see `maskrt.contract.precision`.
        backend: the engine and the device it runs on.
        work: weights and resize policy (see `work_of`): sides that share it do the same work.
        stream: encodes the masks of all the files, the stages of one batch beside those of others, given the files and
            the batch size; None where the stages can only follow each other.
        stages: one function for each of `maskrt.evaluation.results.bench.STAGES`. The first takes a list of paths, the
            others what the one before returned; the last returns a list with one list of instances for each image. A
            stage that uses a GPU returns when the GPU is done.
    """

    name: str
    precision: str
    backend: str
    work: str
    stages: Sequence[Callable[[Any], Any]]
    stream: Callable[[Sequence[Path], int], None] | None = None

    def run(self, files: Sequence[Path]) -> list[list[Any]]:
        """All stages, one after the other, on one batch."""
        value: Any = files
        for stage in self.stages:
            value = stage(value)
        return value


def open_segmenter(path: Path, name: str, threads: int | None) -> Side:
    """Open a model file in maskrt's runtime.

    Raises:
        MaskrtError: the file cannot be loaded here.
    """
    limit_opencv_threads(threads)
    segmenter = Segmenter(path, threads=threads)
    metadata = segmenter.metadata
    return Side(
        name=name,
        precision=metadata.precision,
        backend=backend_name(segmenter),
        work=work_of(metadata.weights_sha256, metadata.pipeline.resize.min_size, metadata.pipeline.resize.max_size),
        stages=(
            decode,
            segmenter.preprocess,
            lambda batch: (segmenter.infer(batch), batch),
            lambda detections_and_batch: segmenter.postprocess(*detections_and_batch),
            lambda results: [_encode(instances) for instances in results],
        ),
        stream=partial(stream_files, segmenter),
    )


def work_of(weights_sha256: str, min_size: int, max_size: int) -> str:
    """Tell what a side computes, at whatever precision: the weights, and the size that pictures are brought to."""
    return f"weights {weights_sha256[:12]}, resized to {min_size}-{max_size} px"


def decode(files: Sequence[Path]) -> list[Any]:
    """Read the images as uint8 RGB arrays [H, W, 3]; the same function for both sides."""
    return [read_image(file) for file in files]


def limit_opencv_threads(threads: int | None) -> None:
    """OpenCV decodes and resizes on as many threads as the rest; None: one per core."""
    cv2.setNumThreads(-1 if threads is None else threads)


def stream_files(
    segmenter: Segmenter, files: Sequence[Path], batch: int, thresholds: Thresholds = _OF_THE_MODEL
) -> None:
    """Find the instances in the files and encode their masks, the stages of one batch beside those of others.

    Raises:
        MaskrtError: one of the files fails.
    """
    found = segmenter.stream(files, batch_size=batch, score_threshold=thresholds.score, nms_threshold=thresholds.nms)
    for result in found:
        if isinstance(result, MaskrtError):
            raise result
        _encode(result)


def _encode(instances: Instances) -> list[Any]:
    return list(instances.rle()) if instances.has_masks else list(instances.to_coco(0))
