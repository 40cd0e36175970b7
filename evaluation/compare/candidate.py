"""A model file, opened to be compared with its source model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskrt.contract.precision import Budget
from maskrt.errors import ModelError
from maskrt.evaluation.compare.canvas import GREY_LEVELS, canvas_difference
from maskrt.evaluation.compare.detections import Records, compare_detections
from maskrt.evaluation.compare.differences import ImageDifferences
from maskrt.evaluation.compare.pasting import pasting_iou
from maskrt.evaluation.compare.source_image import SourceImage
from maskrt.evaluation.compare.tensors import ExposedFile
from maskrt.evaluation.compare.verdict import Limits
from maskrt.runtime import Segmenter


@dataclass(frozen=True)
class Candidate:
    """A model file in the runtime, and what its differences may amount to.

    Attributes:
        name: unique among the candidates.
        path: `.onnx`, or an engine, of which only canvas, detections and pasting can be compared.
        segmenter: the file in the runtime.
        exposed: the file with its tensors as outputs; None for an engine.
        limits: for the verdict.
        threads: CPU threads; None: one per core.
    """

    name: str
    path: Path
    segmenter: Segmenter
    exposed: ExposedFile | None
    limits: Limits
    threads: int | None

    def compare(
        self, source: SourceImage, names: Sequence[str], score_threshold: float
    ) -> tuple[ImageDifferences, Records]:
        """Compare the file with the source model on one image.

        Args:
            source: the source model on the image.
            names: of the source model's labels.
            score_threshold: detections of at least this score must be found again.

        Returns:
            The differences, and the file's detections.
        """
        batch = self.segmenter.preprocess([source.pixels])
        (instances,) = self.segmenter.postprocess(self.segmenter.infer(batch), batch)
        tensors = [canvas_difference(source.levels, batch.canvas, source.name)]
        if self.exposed is not None:
            trace = source.trace(batch, self.exposed.modules)
            tensors += self.exposed.compare(trace, batch, source.name)
        records = instances.to_coco(0)
        detections = compare_detections(
            source.records,
            records,
            names,
            self.segmenter.class_names,
            score_threshold,
            scale=float(batch.image_sizes[0, 0] / batch.original_sizes[0][0]),
        )
        pasting = pasting_iou(instances[instances.scores >= score_threshold], source.reference)
        return ImageDifferences(source.name, tensors, detections, pasting), records


def open_candidate(path: Path, name: str, budgets: Mapping[str, Budget], threads: int | None) -> Candidate:
    """Open a model file.

    Args:
        path: `.onnx`, or an engine.
        name: unique among the candidates.
        budgets: by precision.
        threads: CPU threads; None: one per core.

    Raises:
        MaskrtError: the file cannot be loaded.
    """
    segmenter = Segmenter(path, threads=threads)
    precision = segmenter.metadata.precision
    if precision not in budgets:
        raise ModelError(f"{path} is damaged: its precision is {precision!r}, not one of {', '.join(budgets)}.")
    exposed = ExposedFile(path, segmenter.metadata, threads=threads) if path.suffix.lower() == ".onnx" else None
    limits = Limits(budgets[precision], GREY_LEVELS[segmenter.input_dtype.name])
    return Candidate(name, path, segmenter, exposed, limits, threads)
