"""The layer where a difference begins that is seen further on in the network."""

from __future__ import annotations

import numpy as np

from maskrt.evaluation.compare.candidate import Candidate
from maskrt.evaluation.compare.points import PROPOSALS
from maskrt.evaluation.compare.source_image import trace_canvas
from maskrt.evaluation.compare.tensors import ExposedFile
from maskrt.evaluation.results.compare import TensorDifference
from maskrt.export.reference import Reference


def find_beginning(
    candidate: Candidate,
    tensors: dict[str, TensorDifference],
    seen: TensorDifference,
    reference: Reference,
    image: np.ndarray,
) -> TensorDifference | None:
    """Find where the difference begins that is seen at a point: compare the layers in front of it, on one image.

    A layer in front of features that are within the budget is above suspicion. In front of a prediction it is not:
    predictions have less noise than what they are made from.

    Args:
        candidate: an ONNX file.
        tensors: the differences at the chosen points, by name.
        seen: the first of them in the network that misses the budget.
        reference: the source model's own inference.
        image: the one of `seen`, [H, W, 3] uint8 RGB.

    Returns:
        The first layer that misses the budget on this image; None: none does.
    """
    assert candidate.exposed is not None
    limits = candidate.limits
    upstream = {point.name: point.upstream for point in candidate.exposed.points}
    features = {name for name in upstream for other in upstream if name != other and name in upstream[other]}
    cleared = [upstream[name] for name in features & tensors.keys() if limits.keeps(tensors[name])]
    file = ExposedFile(
        candidate.path,
        candidate.segmenter.metadata,
        names=upstream[seen.name].difference(*cleared),
        threads=candidate.threads,
    )
    batch = candidate.segmenter.preprocess([image])
    differences = file.compare(trace_canvas(reference, batch, file.modules), batch, seen.image, noise_alone=True)
    return next((d for d in differences if d.name != PROPOSALS and not limits.keeps(d)), None)
