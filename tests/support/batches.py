"""Whether results may be compared bit for bit with those of the same pictures in other batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from maskrt.runtime import Instances, Segmenter


def skip_unless_batches_are_exact(segmenter: Segmenter, images: Sequence[np.ndarray]) -> None:
    """Skip a test where ONNX Runtime itself gives an image other bits in a batch than alone.

    It does not on the processors that were tried; what is tested is what is done with its results.

    Args:
        segmenter: of the test.
        images: of the test; those of one size go together, four at a time.
    """
    by_size: dict[tuple[int, ...], list[np.ndarray]] = {}
    for image in images:
        by_size.setdefault(image.shape, []).append(image)
    for group in by_size.values():
        for first in range(0, len(group), 4):
            batch = group[first : first + 4]
            for image, together in zip(batch, segmenter.predict(batch), strict=True):
                if _bits(segmenter.predict(image)) != _bits(together):
                    pytest.skip("ONNX Runtime's results depend on the batch here, in the last bits")


def _bits(instances: Instances) -> tuple[bytes, ...]:
    return instances.boxes.tobytes(), instances.scores.tobytes(), instances.labels.tobytes()
