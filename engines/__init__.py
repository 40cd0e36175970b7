"""ONNX file → engine for a named target, with a manifest beside it.

>>> from pathlib import Path
>>> from maskrt.engines import BuildRequest, build_engine
>>> build_engine(BuildRequest(Path("model.onnx"), target="rtx4090")).engine
"""

from __future__ import annotations

from maskrt.engines.build import build_engine
from maskrt.engines.errors import EngineError
from maskrt.engines.request import BuildOptions, BuildRequest, BuildResult

__all__ = ["BuildOptions", "BuildRequest", "BuildResult", "EngineError", "build_engine"]
