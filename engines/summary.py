"""What the user reads after a build."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from maskrt.contract.manifest import FLAVOR_NAMES, Manifest, manifest_path
from maskrt.engines.build import BuildResult
from maskrt.engines.profile import format_canvas

_LISTED_TYPES = 6


def describe(result: BuildResult) -> str:
    """The summary of a build: file, profile, layers, memory; or that the engine was there already."""
    manifest = result.manifest
    report = result.report
    if report is None:
        return f"{result.engine} is up to date: the same inputs built it before.\n{_identity(manifest)}"
    largest = sum(
        math.prod(tensor.max) * np.dtype(tensor.dtype).itemsize for tensor in (*manifest.inputs, *manifest.outputs)
    )
    types = sorted(report.layers.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{count} {name}" for name, count in types[:_LISTED_TYPES])
    plugins = ", ".join(f"{count} {name}" for name, count in manifest.plugin_layers.items())
    return "\n".join(
        (
            f"{result.engine}: {_mb(manifest.engine_bytes)}",
            _identity(manifest),
            f"  layers    {sum(report.layers.values())} in the network: {shown}, …",
            f"  plugins   {plugins}",
            f"  memory    {_mb(report.weights_bytes)} of weights in the ONNX file; {_mb(largest)} of inputs and "
            f"outputs at the largest shape; at most {manifest.build.workspace_mib} MiB of workspace",
            f"  build     {report.seconds:.1f} s, peak memory {_mb(report.peak_bytes)}",
            f"  manifest  {manifest_path(Path(result.engine))}",
        )
    )


def _identity(manifest: Manifest) -> str:
    build = manifest.build
    profile = ", ".join(
        f"{point} {format_canvas(canvas)}"
        for point, canvas in (("min", build.profile.min), ("opt", build.profile.opt), ("max", build.profile.max))
    )
    return (
        f"  for       {build.target} (compute capability {build.compute_capability}), {build.precision}, "
        f"{FLAVOR_NAMES[build.flavor]} {build.tensorrt_version}\n"
        f"  profile   {profile}"
    )


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
