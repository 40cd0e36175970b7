"""What the user reads after a build."""

from __future__ import annotations

from pathlib import Path

from maskrt.contract.manifest import Manifest, manifest_path
from maskrt.engines.builders.registry import BUILDERS
from maskrt.engines.request import BuildResult

_LISTED_TYPES = 6


def describe(result: BuildResult) -> list[str]:
    """Tell of a build, in lines: files, what the builder has to say, layers; or that the engine was there already."""
    manifest, report = result.manifest, result.report
    if report is None:
        return [f"{result.engine} is up to date: the same inputs built it before.", *_table(_identity(manifest))]
    types = sorted(report.layers.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{count} {name}" for name, count in types[:_LISTED_TYPES])
    rows = {
        **_identity(manifest),
        "layers": f"{sum(report.layers.values())} in the network: {shown}, …",
        "weights": f"{_mb(report.weights_bytes)} in the ONNX file",
        "build": f"{report.seconds:.1f} s, peak memory {_mb(report.peak_bytes)}",
        "manifest": f"{manifest_path(Path(result.engine))}",
    }
    sizes = [
        f"{path}: {_mb(file.size)}"
        for path, file in zip(manifest.paths(result.engine), manifest.files.values(), strict=True)
    ]
    return [*sizes, *_table(rows)]


def _identity(manifest: Manifest) -> dict[str, str]:
    build, builder = manifest.build, BUILDERS[manifest.build.builder]
    return {
        "for": f"{build.target}, {build.precision}, {builder.title} {build.builder_version}",
        **builder.describe(manifest),
    }


def _table(rows: dict[str, str]) -> list[str]:
    return [f"  {name:9} {text}" for name, text in rows.items()]


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
