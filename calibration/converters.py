"""How a model comes to each precision: a converter for each row of `contract/precision.py` but the first.

A new precision is a row there and an entry here.
"""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np
import onnx

from maskrt.calibration.fp16 import convert_to_fp16
from maskrt.calibration.qdq import NumberFormat
from maskrt.contract.precision import SOURCE_PRECISION, find_precision
from maskrt.errors import ArgumentError

Cast = Callable[[onnx.ModelProto], onnx.ModelProto]
"""From an exported FP32 model to one with other types, where nothing has to be measured."""

CONVERTERS: dict[str, Cast | NumberFormat] = {
    "fp16": convert_to_fp16,
    "int8": NumberFormat(np.dtype(np.int8), largest=127, whole=True),
    "fp8": NumberFormat(np.dtype(ml_dtypes.float8_e4m3fn), largest=448),
}
"""A precision that is calibrated has the number format of its quantize/dequantize pairs, any other a cast."""


def find_converter(precision: str) -> Cast | NumberFormat:
    """Return the converter to the precision of that name.

    Raises:
        ArgumentError: there is no such precision, or it is the one that models are exported in.
    """
    if find_precision(precision).name == SOURCE_PRECISION:
        raise ArgumentError(
            f"Nothing converts to {SOURCE_PRECISION}: it is what `maskrt export` writes. Expected one of "
            f"{', '.join(CONVERTERS)}."
        )
    return CONVERTERS[precision]
