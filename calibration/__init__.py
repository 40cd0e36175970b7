"""ONNX FP32 → FP16, INT8 or FP8, with the cost in AP measured and kept within a budget.

>>> from maskrt.calibration import CalibrationOptions, quantize
>>> quantize(Path("model.onnx"), Path("model.int8.onnx"), "int8", CalibrationOptions([Path("photos")]))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maskrt.calibration.accuracy import Accuracy
    from maskrt.calibration.options import CalibrationOptions
    from maskrt.calibration.quantization import QuantizationResult, quantize

__all__ = ["Accuracy", "CalibrationOptions", "QuantizationResult", "quantize"]


def __getattr__(name: str) -> Any:
    # Lazily, so that the command line can say what is missing where onnx or ONNX Runtime is not installed.
    if name in __all__:
        from maskrt.calibration import quantization as module

        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
