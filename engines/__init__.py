"""ONNX file → TensorRT engine for a named GPU, with a manifest beside it.

>>> from maskrt.engines import build_engine
>>> build_engine("model.onnx", target="rtx4090").engine
"""

from __future__ import annotations

from maskrt.engines.build import BuildResult, build_engine
from maskrt.engines.errors import EngineError

__all__ = ["BuildResult", "EngineError", "build_engine"]
