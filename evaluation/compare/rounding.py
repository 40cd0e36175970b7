"""Whether detections differ because the file takes pictures as uint8, and not because of its network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maskrt.evaluation.compare.candidate import Candidate
from maskrt.evaluation.compare.detections import compare_detections
from maskrt.evaluation.compare.verdict import detection_misses
from maskrt.export.reference import Reference, coco_records, with_levels


def is_rounding(
    candidate: Candidate, reference: Reference, image: np.ndarray, names: Sequence[str], score_threshold: float
) -> bool:
    """Tell whether the source model finds what the file does once it is given the picture as the file takes it.

    Args:
        candidate: a file whose detections miss the budget.
        reference: the source model's own inference, which resizes pictures without rounding.
        image: `[H, W, 3]` uint8 RGB.
        names: of the source model's labels.
        score_threshold: detections of at least this score must be found again.

    Returns:
        False, too, where the file takes pictures as float32, or resizes to another size.
    """
    segmenter = candidate.segmenter
    batch = segmenter.preprocess([image])
    canvas = reference.preprocess([image])
    if batch.canvas.dtype != np.uint8 or batch.canvas.shape[1:3] != tuple(canvas.tensors.shape[2:]):
        return False
    canvas = with_levels(canvas, batch.canvas, reference.spec.normalization)
    (theirs,) = reference.postprocess(reference.infer(canvas), canvas)
    (ours,) = segmenter.postprocess(segmenter.infer(batch), batch)
    differences = compare_detections(
        coco_records(theirs),
        ours.to_coco(0),
        names,
        segmenter.class_names,
        score_threshold,
        scale=float(batch.image_sizes[0, 0] / batch.original_sizes[0][0]),
    )
    return not any(detection_misses(differences, candidate.limits.budget))
