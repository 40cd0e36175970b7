"""What an engine is built from, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from maskrt.contract.manifest import Manifest
from maskrt.engines.targets import LOCAL

AUTO = "auto"
"""The first builder that can build for the target here."""

Canvas = tuple[int, int, int]
"""Batch, height and width; the channels come last and are always three."""


@dataclass(frozen=True)
class BuildOptions:
    """What some builders can be told and others refuse; None and False: nothing was said.

    Attributes:
        min, opt, max: canvases; by default, all that the model's resize policy makes, in batches up to the target's.
        workspace: the most scratch memory that a layer may use, in MiB; by default, the target's.
        timing_cache: where TensorRT remembers which kernels are fastest; by default, beside the engine.
        version_compatible: restrict TensorRT to what its lean runtime runs, so that the device needs no more than that.
    """

    min: Canvas | None = None
    opt: Canvas | None = None
    max: Canvas | None = None
    workspace: int | None = None
    timing_cache: Path | None = None
    version_compatible: bool = False

    @property
    def given(self) -> tuple[str, ...]:
        """The names of those that were said."""
        return tuple(name for name, value in vars(self).items() if value not in (None, False))


@dataclass(frozen=True)
class BuildRequest:
    """An engine to build.

    Attributes:
        onnx: a file that maskrt exported.
        target: what to build for, by name: see `targets.json`.
        output: the engine; by default beside the ONNX file, named after it and the target.
        precision: that the ONNX file has to have; None: whatever it has.
        builder: a name of `builders.registry.BUILDERS`, or "auto".
        options: what builders differ in.
    """

    onnx: Path
    target: str = LOCAL
    output: Path | None = None
    precision: str | None = None
    builder: str = AUTO
    options: BuildOptions = field(default_factory=BuildOptions)


@dataclass(frozen=True)
class BuildReport:
    """What a build took and gave.

    Attributes:
        seconds: the builder's time, parsing included.
        peak_bytes: the most memory that the process had used at its end.
        layers: the network's layers by type.
        weights_bytes: size of the weights in the ONNX file.
    """

    seconds: float
    peak_bytes: int
    layers: Mapping[str, int]
    weights_bytes: int


@dataclass(frozen=True)
class BuildResult:
    """An engine and how it came about.

    Attributes:
        engine: the engine; its manifest is beside it.
        manifest: the manifest.
        report: of the build; None where the engine was there already, built from the same inputs.
    """

    engine: Path
    manifest: Manifest
    report: BuildReport | None
