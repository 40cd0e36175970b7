"""From the values that a tensor takes to the range that its quantized numbers cover.

`max` covers everything, `percentile` all but the rarest large values, `entropy` loses the least information (Migacz,
"8-bit inference with TensorRT", GTC 2017). The last two are ONNX Runtime's.
"""

from __future__ import annotations

import contextlib
import io

import numpy as np
from onnxruntime.quantization.calibrate import HistogramCollector

from maskrt.calibration.options import Method

_BINS = 2048
_SAMPLE = 1 << 17
"""Values of a tensor that enter its histogram, an image: enough for the tail, and a large feature map costs no more."""


class ThresholdCollector:
    """Collect the values of tensors, image by image, in memory that does not grow with the number of images.

    Args:
        method: see the module.
        percentile: for "percentile": how many per cent of the absolute values lie inside the range.
    """

    def __init__(self, method: Method, percentile: float) -> None:
        self._largest: dict[str, float] = {}
        # 128 quantized bins: the positive and negative INT8 numbers share one magnitude each.
        self._histograms = (
            None
            if method == "max"
            else HistogramCollector(
                method=method,
                symmetric=True,
                num_bins=_BINS,
                num_quantized_bins=128,
                percentile=percentile,
                scenario="same",
            )
        )

    def add(self, name: str, values: np.ndarray) -> None:
        """More values, float32 of any shape and at least one, of the tensor `name`."""
        largest = float(max(values.max(), -values.min()))
        self._largest[name] = max(self._largest.get(name, 0.0), largest)
        if self._histograms is None:
            return
        flat = values.reshape(-1)
        step = -(-flat.size // _SAMPLE)
        # An odd step meets every column of a feature map, whose width is even.
        with contextlib.redirect_stdout(io.StringIO()):
            self._histograms.collect({name: flat[:: step | 1] if step > 1 else flat})

    def thresholds(self) -> dict[str, float]:
        """For each tensor the absolute value that the largest quantized number stands for."""
        if self._histograms is None:
            return dict(self._largest)
        with contextlib.redirect_stdout(io.StringIO()):
            ranges = self._histograms.compute_collection_result()
        return {
            name: min(float(max(-low, high)), self._largest[name]) or self._largest[name]
            for name, (low, high, *_) in ranges.items()
        }
