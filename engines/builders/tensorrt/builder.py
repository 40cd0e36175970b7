"""TensorRT and TensorRT-RTX as builders; see `engines.builders.base`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TextIO

import numpy as np

from maskrt import __version__
from maskrt.contract.manifest import BuildInputs, Manifest
from maskrt.engines.builders.base import Built
from maskrt.engines.builders.tensorrt import packages
from maskrt.engines.builders.tensorrt.network import check_operators, layer_types, parse_network, plugin_layers, tensors
from maskrt.engines.builders.tensorrt.packages import Package, import_tensorrt
from maskrt.engines.builders.tensorrt.profile import format_canvas, make_profile
from maskrt.engines.builders.tensorrt.progress import BuildProgress, builder_monitor
from maskrt.engines.builders.tensorrt.refusals import beyond_the_kernels, find_refusals, sentence, without_kernel
from maskrt.engines.builders.tensorrt.serialize import (
    interruptible,
    polygraphy_exception,
    polygraphy_log,
    serialize_network,
)
from maskrt.engines.errors import EngineError
from maskrt.engines.gpu import Gpu
from maskrt.engines.onnx_model import OnnxModel
from maskrt.engines.request import BuildOptions
from maskrt.engines.targets import GpuTarget, Target, at_least
from maskrt.errors import ArgumentError
from maskrt.files import check_writable
from maskrt.runtime.backends.tensorrt.manifest import SUFFIX, TensorRtSettings
from maskrt.terminal import printable, say

_OLDEST = "7.5"
"""The compute capability of the first GPUs that TensorRT 10, which the plugins need, supports (Turing)."""

_MAX_WORKSPACE_MIB = 1 << 20  # a TiB: more than any GPU has, and still a number of bytes that TensorRT takes


@dataclass(frozen=True)
class TensorRtBuilder:
    """A TensorRT package; see `base.Builder`.

    FP32 means FP32: TF32 is off. The precision of each layer is the ONNX file's.

    Attributes:
        package: which of the two.
        capabilities: the compute capabilities that it builds for; None: every one from `_OLDEST` on.
        lacks: precisions that it does not build for a GPU that has them, by compute capability.
        runs_not: operators that its parser takes, but that nothing in it runs.
        refusals: see `base.Builder`.
    """

    package: Package
    capabilities: tuple[str, ...] | None = None
    lacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    runs_not: tuple[str, ...] = ()
    refusals: Mapping[str, str] = field(default_factory=dict)
    suffix: str = SUFFIX

    @property
    def name(self) -> str:
        """Its name in options and manifests."""
        return self.package.name

    @property
    def title(self) -> str:
        """Its name in prose."""
        return self.package.title

    @property
    def module(self) -> str:
        """The Python module that it needs."""
        return self.package.module

    @property
    def install(self) -> str:
        """The command that installs it."""
        return self.package.install

    def precisions(self, target: Target) -> tuple[str, ...]:
        """See `base.Builder`."""
        if not isinstance(target, GpuTarget):
            return ()
        capability = target.compute_capability
        known = at_least(capability, _OLDEST) if self.capabilities is None else capability in self.capabilities
        lacking = self.lacks.get(capability, ())
        return tuple(precision for precision in target.precisions if known and precision not in lacking)

    def obstacle(self, target: Target, precision: str, gpu: Gpu | None) -> ArgumentError | None:
        """See `base.Builder`."""
        if self.package is packages.TENSORRT_RTX or (
            gpu is not None and isinstance(target, GpuTarget) and gpu.compute_capability == target.compute_capability
        ):
            return None
        here = "none" if gpu is None else f"{gpu.name} (compute capability {gpu.compute_capability})"
        with_rtx = TENSORRT_RTX.precisions(target)
        if precision in with_rtx:
            otherwise = f", or build here with --builder {TENSORRT_RTX.name}"
        elif with_rtx:
            otherwise = (
                f", or make a model of {' or '.join(with_rtx)} with `maskrt quantize`, which {TENSORRT_RTX.title} "
                "builds here"
            )
        else:
            otherwise = ""
        return ArgumentError(
            f"{self.title} builds on the target GPU itself, here {target}, but the GPU of this machine is: {here}. "
            f"Copy the ONNX file to that machine and run `maskrt engine` there{otherwise}."
        )

    def inputs(self, model: OnnxModel, target: Target, options: BuildOptions, stream: TextIO) -> BuildInputs:
        """See `base.Builder`."""
        assert isinstance(target, GpuTarget)
        profile = make_profile(model.metadata, target, options.min, options.opt, options.max)
        workspace = target.workspace_mib if options.workspace is None else options.workspace
        if not 1 <= workspace <= _MAX_WORKSPACE_MIB:
            raise ArgumentError(f"The workspace must be 1 to {_MAX_WORKSPACE_MIB:,} MiB, but is {workspace:,}.")
        check_operators(model)
        trt = import_tensorrt(self.package)
        refusals = without_kernel(model.operators, self.runs_not)
        refusals += beyond_the_kernels(model.custom_layers, model.custom_attributes)
        if refusals:  # before anything is built
            raise EngineError(f"{self.title} {trt.__version__} cannot build {model.path}: {sentence(refusals)}")
        settings = TensorRtSettings(
            compute_capability=target.compute_capability,
            plugin_version=_load_plugins(trt, target.compute_capability, stream),
            workspace_mib=workspace,
            profile=profile,
            version_compatible=options.version_compatible,
        )
        return BuildInputs(
            maskrt_version=__version__,
            onnx_file=printable(model.path.name),
            onnx_sha256=model.sha256,
            target=target.name,
            builder=self.name,
            builder_version=trt.__version__,
            precision=model.metadata.precision,
            settings=settings.to_json(),
        )

    def build(
        self, model: OnnxModel, inputs: BuildInputs, engine: Path, options: BuildOptions, stream: TextIO
    ) -> Built:
        """See `base.Builder`."""
        trt = import_tensorrt(self.package)
        settings = TensorRtSettings.of(inputs.settings)
        capability = settings.compute_capability
        timing_cache = options.timing_cache or engine.with_name(
            f"tensorrt-{inputs.builder_version}-{capability}.timing"
        )
        if timing_cache.exists():
            check_writable(timing_cache)
        title = f"Building for {inputs.target} (compute capability {capability}, {inputs.precision})"
        progress = BuildProgress(title, stream)
        network = None
        with interruptible(progress), polygraphy_log() as errors:
            try:
                parsed = parse_network(trt, self.package, model)
                network = parsed[1]
                io = tensors(trt, network)
                layers, plugins = layer_types(network), plugin_layers(trt, network, model)
                monitor = builder_monitor(trt, progress)
                data = serialize_network(trt, self.package, parsed, settings, io[0], timing_cache, monitor)
            except polygraphy_exception() as error:
                if progress.cancelled:
                    raise KeyboardInterrupt from None
                # The first error is the cause; the parser repeats it in each layer of its own.
                words = " ".join((errors[0] if errors else str(error)).split())
                if network is None and (refusals := find_refusals(trt, model.path.read_bytes())):
                    words = sentence(refusals)
                raise EngineError(f"{self.title} {trt.__version__} cannot build {model.path}: {words}") from error
            except OSError as error:
                raise EngineError(
                    f"The timing cache {timing_cache} cannot be used: {error.strerror or error}."
                ) from error
            finally:
                progress.close()
        return Built({self.suffix: data}, *io, plugin_layers=plugins, layers=layers)

    def describe(self, manifest: Manifest) -> dict[str, str]:
        """See `base.Builder`."""
        settings = TensorRtSettings.of(manifest.build.settings)
        profile = settings.profile
        largest = sum(
            math.prod(tensor.at(profile.max)) * np.dtype(tensor.dtype).itemsize
            for tensor in (*manifest.inputs, *manifest.outputs)
        )
        return {
            "gpu": f"compute capability {settings.compute_capability}",
            "profile": f"min {format_canvas(profile.min)}, opt {format_canvas(profile.opt)}, "
            f"max {format_canvas(profile.max)}",
            "plugins": ", ".join(f"{count} {name}" for name, count in manifest.plugin_layers.items()),
            "memory": f"{largest / 1e6:.1f} MB of inputs and outputs at the largest shape; at most "
            f"{settings.workspace_mib} MiB of workspace",
        }


TENSORRT = TensorRtBuilder(packages.TENSORRT)
TENSORRT_RTX = TensorRtBuilder(
    packages.TENSORRT_RTX,
    capabilities=("7.5", "8.0", "8.6", "8.9", "12.0", "12.1"),
    lacks={"7.5": ("fp32",)},  # it multiplies no FP32 matrices on Turing
    runs_not=("NonMaxSuppression", "RoiAlign"),  # no runner for the first, and a GPU needed to create the second
    refusals={"timing_cache": "times no kernels while it builds", "version_compatible": "has no lean runtime"},
)


def _load_plugins(trt: ModuleType, compute_capability: str, stream: TextIO) -> str:
    """Register the plugins; returns the library's version."""
    from maskrt.plugins.libraries import PluginLibraryError
    from maskrt.plugins.loader import load_plugins

    try:
        library = load_plugins(trt)
    except PluginLibraryError as error:
        raise EngineError(str(error)) from error
    if not runs_on(library.architectures, compute_capability):
        say(
            f"warning: {library.path} has no code for compute capability {compute_capability} (it has "
            f"{library.architectures}). The engine is fine; give the device a library that has it: `make plugins`.",
            file=stream,
        )
    return library.version


def runs_on(architectures: str, compute_capability: str) -> bool:
    """Whether code for CMake's CUDA architectures ("75-real 120-virtual") runs on a compute capability ("8.9").

    Binary code runs on its major version from its minor version on, PTX ("virtual", or no suffix) on anything newer.
    """
    wanted = int(compute_capability.replace(".", ""))
    for entry in architectures.replace(";", " ").split():
        number, _, kind = entry.partition("-")
        if number.isdigit() and int(number) <= wanted and (kind != "real" or int(number) // 10 == wanted // 10):
            return True
    return False
