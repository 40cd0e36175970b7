"""The image in front of the network: what the runtime makes of it beside what the source model's framework does."""

from __future__ import annotations

import math

import numpy as np

from maskrt.evaluation.compare.tensors import MAX_SNR
from maskrt.evaluation.results.compare import TensorDifference

IMAGES = "images"
"""The name of this place among those where a difference can begin."""

GREY_LEVELS = {"uint8": 1.1, "float32": 0.01}
"""How much the resized image may differ from the source model's, by type of the file's input; see
`maskrt.runtime.transforms.bilinear`."""


def canvas_difference(theirs: np.ndarray, ours: np.ndarray, image: str) -> TensorDifference:
    """Compare the image after resizing and padding, [1, H, W, 3], in grey levels; `image` is its name."""
    if theirs.shape != ours.shape:
        return _difference(None, None, -MAX_SNR, image)
    noise = np.abs(theirs - ours)
    power = float((theirs.astype(np.float64) ** 2).mean()), float((noise.astype(np.float64) ** 2).mean())
    snr = MAX_SNR if power[1] == 0 else 10 * math.log10(max(power[0], 1e-20) / power[1])
    return _difference(float(noise.max()), float(noise.mean()), min(snr, MAX_SNR), image)


def _difference(largest: float | None, mean: float | None, snr_db: float, image: str) -> TensorDifference:
    return TensorDifference(
        name=IMAGES,
        onnx=None,
        max_abs=largest,
        mean_abs=mean,
        max_rel=None,
        mean_rel=None,
        snr_db=snr_db,
        found=None,
        image=image,
    )
