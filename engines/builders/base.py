"""What the engine builder asks of an inference engine's package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO

from maskrt.contract.manifest import BuildInputs, Manifest, Tensor
from maskrt.engines.gpu import Gpu
from maskrt.engines.onnx_model import OnnxModel
from maskrt.engines.request import BuildOptions
from maskrt.engines.targets import Target
from maskrt.errors import ArgumentError


@dataclass(frozen=True)
class Built:
    """What a builder made.

    Attributes:
        files: the content of each file, by suffix; the first is the one that names the engine.
        inputs, outputs: its tensors.
        plugin_layers: number of layers of each plugin, by name.
        layers: number of layers of each type.
    """

    files: Mapping[str, bytes | memoryview]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    plugin_layers: Mapping[str, int]
    layers: Mapping[str, int]


class Builder(Protocol):
    """Turns ONNX files into engines. What it needs is imported when it builds.

    Attributes:
        name: as `--builder` and manifests have it.
        title: in prose.
        suffix: of its engines, behind the target's name; the runtime knows them by it.
        module: its Python package.
        install: how that is installed, for messages.
        refusals: names of `BuildOptions` that it does not take, and why.
    """

    @property
    def name(self) -> str:
        """Its name in options and manifests."""

    @property
    def title(self) -> str:
        """Its name in prose."""

    @property
    def suffix(self) -> str:
        """Of the files that it makes."""

    @property
    def module(self) -> str:
        """The Python module that it needs."""

    @property
    def install(self) -> str:
        """The command that installs it."""

    @property
    def refusals(self) -> Mapping[str, str]:
        """Why it builds for none of some targets, by target."""

    def precisions(self, target: Target) -> tuple[str, ...]:
        """Those that it builds for a target, wherever it runs; none if it does not support the target."""

    def obstacle(self, target: Target, precision: str, gpu: Gpu | None) -> ArgumentError | None:
        """Why it cannot build for a target and in a precision that it supports on this machine, which has that GPU."""

    def inputs(self, model: OnnxModel, target: Target, options: BuildOptions, stream: TextIO) -> BuildInputs:
        """All that determines the engine.

        Args:
            model: the ONNX file.
            target: what to build for.
            options: without those that it refuses.
            stream: where warnings go.

        Raises:
            ArgumentError: the options do not fit the model or the target.
            DependencyError: its package is missing, too old, or cannot be loaded.
            EngineError: something else that it needs is missing or does not fit.
        """

    def build(
        self, model: OnnxModel, inputs: BuildInputs, engine: Path, options: BuildOptions, stream: TextIO
    ) -> Built:
        """Build; nothing is written but caches.

        Args:
            model: the ONNX file.
            inputs: what `inputs` gave.
            engine: where the engine will be written.
            options: as for `inputs`.
            stream: where progress goes.

        Raises:
            EngineError: it refuses the model.
            KeyboardInterrupt: the user does not want it any more.
        """

    def describe(self, manifest: Manifest) -> dict[str, str]:
        """Return what the user should know of an engine of its own, by a word for each."""
