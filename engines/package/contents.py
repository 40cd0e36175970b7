"""What goes into an edge package, and whether engine, manifest, ONNX file and plugin library fit together."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from pathlib import Path

from maskrt.contract.manifest import (
    Manifest,
    check_engine_file,
    check_onnx,
    check_plugins,
    manifest_path,
    read_manifest,
)
from maskrt.contract.metadata import parse_metadata
from maskrt.contract.seal import read_metadata_properties
from maskrt.engines.build import runs_on
from maskrt.engines.errors import EngineError
from maskrt.engines.package.requirements import is_jetson
from maskrt.errors import ArgumentError
from maskrt.plugins import libraries
from maskrt.plugins.libraries import PluginLibraryError
from maskrt.plugins.loader import PluginLibrary, plugin_library

_JETSON_CPU = "aarch64"


@dataclass(frozen=True)
class Contents:
    """What goes into a package.

    Attributes:
        models: content of the model files by name; the one that maskrt infer opens comes first.
        manifest: of the engine, if there is one.
        plugins: content of the plugin libraries, by their path in their folder.
        cuda: the version of CUDA that the plugin library was compiled with, for example 13000.
    """

    models: dict[str, bytes]
    manifest: Manifest | None = None
    plugins: dict[str, bytes] = field(default_factory=dict)
    cuda: int = 0

    @property
    def with_onnx(self) -> bool:
        """Whether there is an ONNX file among the models."""
        return any(name.endswith(".onnx") for name in self.models)


def engine_contents(engine: Path, onnx: Path | None) -> Contents:
    """An engine with its manifest and plugin libraries, and the ONNX file that it was built from where that is given.

    Raises:
        ArgumentError: the ONNX file does not end in .onnx.
        ModelError: a file is missing, damaged, or does not belong to the others.
        EngineError: the plugin library is missing, or does not fit the engine or its device.
    """
    if onnx is not None and onnx.suffix != ".onnx":
        raise ArgumentError(f"--onnx {onnx}: expected a file that ends in .onnx, by which the runtime knows it.")
    manifest = read_manifest(engine)
    check_engine_file(engine, manifest)
    if onnx is not None:
        check_onnx(engine, manifest, onnx)
    try:
        library = plugin_library()
        names = [libraries.PLUGINS, libraries.AUTOLOAD]
        if manifest.build.flavor == "tensorrt-rtx":
            names.append(libraries.RTX_SHIM)
        plugins = {name: libraries.find(name).read_bytes() for name in names}
    except PluginLibraryError as error:
        raise EngineError(str(error)) from error
    _check_library(engine, manifest, library)
    models = {engine.name: engine.read_bytes(), manifest_path(engine).name: manifest_path(engine).read_bytes()}
    if onnx is not None:
        models[onnx.name] = onnx.read_bytes()
    return Contents(models, manifest, plugins, library.cuda)


def onnx_contents(onnx: Path) -> Contents:
    """An ONNX file alone.

    Raises:
        ModelError: it is missing, damaged, or not exported by maskrt.
    """
    parse_metadata(read_metadata_properties(onnx), str(onnx))
    return Contents({onnx.name: onnx.read_bytes()})


def _check_library(engine: Path, manifest: Manifest, library: PluginLibrary) -> None:
    """That the engine runs with this plugin library, on its device."""
    build = manifest.build
    check_plugins(engine, manifest, library.version)
    if library.tensorrt_headers is None:
        raise EngineError(
            f"{library.path} was built without TensorRT headers and has only the kernels, but {engine} needs the "
            "plugins. Set TENSORRT_INCLUDE to the folder of NvInferRuntime.h and run `make plugins`."
        )
    if not runs_on(library.architectures, build.compute_capability):
        raise EngineError(
            f"{library.path} has no code for {build.target} (compute capability {build.compute_capability}): it has "
            f"{library.architectures}. Compile it for that: `make plugins`."
        )
    if is_jetson(build) and platform.machine() != _JETSON_CPU:
        raise EngineError(
            f"{engine} is for {build.target}, whose CPU is {_JETSON_CPU}, but the plugin library here is for "
            f"{platform.machine()}. Run `maskrt package` on the device."
        )
