"""Engines of reference models, really built by TensorRT-RTX, for a GPU that need not be there."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TARGET = "rtx4090"
"""Of compute capability 8.9."""

_CANVASES = ((1, 320, 320), (1, 320, 320), (1, 512, 512))
"""Smallest, most frequent and largest; C4 models take these, too. The kernels depend on the GPU, not on these."""

ENGINE_HEADER = f"{'model':32s} precision     MB seconds  plugin layers (of so many custom nodes)"


@dataclass(frozen=True)
class BuiltEngine:
    """An engine.

    Attributes:
        manifest: of it.
        custom_nodes: of the ONNX file that each must have become a plugin layer, by operator.
        size: bytes.
        seconds: that the build took.
    """

    manifest: Any
    custom_nodes: dict[str, int]
    size: int
    seconds: float


def engine_options() -> list[str]:
    """The canvases as options of `maskrt engine`."""
    names = ("min", "opt", "max")
    return [f"--{name}={'x'.join(map(str, canvas))}" for name, canvas in zip(names, _CANVASES, strict=True)]


def build_reference_engine(onnx: Path, engine: Path) -> BuiltEngine:
    """Build an engine, in this process."""
    import io

    from maskrt.engines.build import build_engine
    from maskrt.engines.onnx_model import read_onnx_model
    from maskrt.engines.request import BuildOptions, BuildRequest

    start = time.perf_counter()
    request = BuildRequest(onnx, TARGET, engine, builder="tensorrt-rtx", options=BuildOptions(*_CANVASES))
    result = build_engine(request, io.StringIO())
    seconds = time.perf_counter() - start
    return BuiltEngine(result.manifest, dict(read_onnx_model(onnx).custom_nodes), engine.stat().st_size, seconds)


def engine_row(name: str, built: BuiltEngine) -> str:
    """A line of the table."""
    layers = ", ".join(f"{count} {kind}" for kind, count in built.manifest.plugin_layers.items())
    all_ = "all" if built.manifest.plugin_layers == built.custom_nodes else f"OF {built.custom_nodes}"
    precision = built.manifest.build.precision
    return f"{name:32s} {precision:9s} {built.size / 1e6:6.1f} {built.seconds:7.1f}  {layers} ({all_})"
