"""`build_engine`: an exported ONNX file becomes an engine for a named GPU, with a manifest beside it."""

from __future__ import annotations

import hashlib
import os
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TextIO

from maskrt import __version__
from maskrt.contract.manifest import (
    BuildInputs,
    Manifest,
    check_engine_file,
    manifest_path,
    read_manifest,
)
from maskrt.engines.errors import EngineError
from maskrt.engines.files import write_together
from maskrt.engines.flavors import AUTO, TENSORRT, Flavor, choose_flavor, import_tensorrt
from maskrt.engines.gpu import local_gpu
from maskrt.engines.network import layer_types, parse_network, plugin_layers, tensors
from maskrt.engines.onnx_model import OnnxModel, read_onnx_model
from maskrt.engines.profile import Canvas, make_profile
from maskrt.engines.progress import BuildProgress, builder_monitor
from maskrt.engines.serialize import interruptible, polygraphy_exception, polygraphy_log, serialize_network
from maskrt.engines.targets import LOCAL, check_precision, find_target
from maskrt.errors import ArgumentError, ModelError
from maskrt.files import check_writable

_MAX_WORKSPACE_MIB = 1 << 20  # a TiB: more than any GPU has, and still a number of bytes that TensorRT takes


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
        engine: the engine file; its manifest is beside it.
        manifest: the manifest.
        report: of the build; None where the engine was there already, built from the same inputs.
    """

    engine: Path
    manifest: Manifest
    report: BuildReport | None


def default_output(onnx: Path, target: str) -> Path:
    """Where an engine is written by default: beside the ONNX file."""
    return onnx.with_name(f"{onnx.name.removesuffix('.onnx')}.{target}.engine")


def build_engine(
    onnx: str | os.PathLike[str],
    target: str = LOCAL,
    output: str | os.PathLike[str] | None = None,
    *,
    flavor: str = AUTO,
    minimum: Canvas | None = None,
    optimum: Canvas | None = None,
    maximum: Canvas | None = None,
    workspace_mib: int | None = None,
    timing_cache: str | os.PathLike[str] | None = None,
    version_compatible: bool = False,
    stream: TextIO | None = None,
) -> BuildResult:
    """Build an engine, or find it where the same inputs gave it before.

    FP32 means FP32: TF32 is off. The precision of each layer is the ONNX file's.

    Args:
        onnx: a file that maskrt exported.
        target: the GPU to build for, by name: see `targets.json`.
        output: the engine file; by default, `<model>.<target>.engine` beside the ONNX file.
        flavor: "tensorrt", "tensorrt-rtx", or "auto".
        minimum, optimum, maximum: canvases (batch, height, width); by default, all that the model's resize policy
            makes, in batches up to the target's.
        workspace_mib: the most scratch memory that a layer may use, in MiB; by default, the target's.
        timing_cache: where TensorRT remembers which kernels are fastest; by default, beside the engine. TensorRT-RTX
            has none: it chooses its kernels on the device.
        version_compatible: restrict TensorRT to what its lean runtime runs, so that the device needs no more than that.
        stream: where warnings and progress go; by default, `sys.stderr`.

    Raises:
        ArgumentError: the target, the profile, or their combination with the model or this machine does not work.
        DependencyError: a package is missing or too old.
        ModelError: the ONNX file is missing, damaged, or not exported by maskrt.
        EngineError: the plugins are missing or do not fit, TensorRT refuses the model, or the engine cannot be written.
    """
    stream = sys.stderr if stream is None else stream
    gpu = local_gpu()
    chosen = find_target(target, gpu)
    model = read_onnx_model(Path(onnx))
    check_precision(chosen, model.metadata.precision)
    profile = make_profile(model.metadata, chosen, minimum, optimum, maximum)
    if workspace_mib is not None and not 1 <= workspace_mib <= _MAX_WORKSPACE_MIB:
        raise ArgumentError(f"The workspace must be 1 to {_MAX_WORKSPACE_MIB:,} MiB, but is {workspace_mib:,}.")
    tool = choose_flavor(chosen, model.metadata.precision, flavor, gpu)
    check_flavor_options(tool, timing_cache, version_compatible)
    engine = default_output(model.path, chosen.name) if output is None else Path(output)
    check_writable(engine)
    check_writable(manifest_path(engine))
    if engine.exists() and engine.samefile(model.path):
        raise ArgumentError(f"The engine would overwrite its ONNX file {engine}: choose another --output.")

    trt = import_tensorrt(tool)
    inputs = BuildInputs(
        maskrt_version=__version__,
        onnx_file=model.path.name,
        onnx_sha256=model.sha256,
        target=chosen.name,
        compute_capability=chosen.compute_capability,
        flavor=tool.name,
        tensorrt_version=trt.__version__,
        plugin_version=_load_plugins(trt, chosen.compute_capability, stream),
        precision=model.metadata.precision,
        workspace_mib=workspace_mib or chosen.workspace_mib,
        profile=profile,
        version_compatible=version_compatible,
    )
    existing = _find_existing(engine, inputs, stream)
    if existing is not None:
        return BuildResult(engine, existing, None)
    name = f"tensorrt-{inputs.tensorrt_version}-{inputs.compute_capability}.timing"
    cache = Path(timing_cache) if timing_cache else engine.with_name(name)
    return _build(trt, tool, model, inputs, engine, cache, stream)


def check_flavor_options(flavor: Flavor, timing_cache: str | os.PathLike[str] | None, version_compatible: bool) -> None:
    """That what is asked for is not only TensorRT's where TensorRT-RTX builds.

    Raises:
        ArgumentError: it is.
    """
    if flavor is TENSORRT:
        return
    if timing_cache is not None:
        raise ArgumentError(f"{flavor.title} times no kernels while it builds: drop --timing-cache.")
    if version_compatible:
        raise ArgumentError(f"{flavor.title} has no lean runtime: drop --version-compatible.")


def _load_plugins(trt: ModuleType, compute_capability: str, stream: TextIO) -> str:
    """Register the plugins; returns the library's version."""
    from maskrt.plugins.libraries import PluginLibraryError
    from maskrt.plugins.loader import load_plugins

    try:
        library = load_plugins(trt)
    except PluginLibraryError as error:
        raise EngineError(str(error)) from error
    if not runs_on(library.architectures, compute_capability):
        stream.write(
            f"warning: {library.path} has no code for compute capability {compute_capability} (it has "
            f"{library.architectures}). The engine is fine; give the device a library that has it: `make plugins`.\n"
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


def _find_existing(engine: Path, inputs: BuildInputs, stream: TextIO) -> Manifest | None:
    """The manifest of an engine that need not be built again."""
    if not engine.exists():
        return None
    try:
        manifest = read_manifest(engine)
        if manifest.build != inputs:
            return None
        check_engine_file(engine, manifest)
    except ModelError as error:
        stream.write(f"Building again: {error}\n")
        return None
    return manifest


def _build(
    trt: ModuleType,
    flavor: Flavor,
    model: OnnxModel,
    inputs: BuildInputs,
    engine: Path,
    timing_cache: Path,
    stream: TextIO,
) -> BuildResult:
    start = time.perf_counter()
    title = f"Building for {inputs.target} (compute capability {inputs.compute_capability}, {inputs.precision})"
    progress = BuildProgress(title, stream)
    with interruptible(progress), polygraphy_log() as errors:
        try:
            parsed = parse_network(trt, flavor, model)
            network = parsed[1]
            io = tensors(trt, network, inputs.profile)
            layers, plugins = layer_types(network), plugin_layers(trt, network)
            data = serialize_network(trt, flavor, parsed, inputs, io[0], timing_cache, builder_monitor(trt, progress))
        except polygraphy_exception() as error:
            if progress.cancelled:
                raise KeyboardInterrupt from None
            # The first error is the cause; the parser repeats it in each layer of its own.
            words = " ".join((errors[0] if errors else str(error)).split())
            raise EngineError(f"{flavor.title} {trt.__version__} cannot build {model.path}: {words}") from error
        except OSError as error:
            raise EngineError(f"The timing cache {timing_cache} cannot be used: {error.strerror or error}.") from error
        finally:
            progress.close()
    seconds = time.perf_counter() - start
    manifest = Manifest(
        engine_bytes=len(data),
        engine_sha256=hashlib.sha256(data).hexdigest(),
        build=inputs,
        inputs=io[0],
        outputs=io[1],
        plugin_layers=dict(sorted(plugins.items())),
        model=model.properties,
    )
    write_together({engine: data, manifest_path(engine): manifest.to_json().encode()})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return BuildResult(engine, manifest, BuildReport(seconds, peak, layers, model.weights_bytes))
