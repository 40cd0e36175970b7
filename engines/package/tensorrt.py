"""What a TensorRT engine needs on its device, and whether the plugin library here is the one for it."""

from __future__ import annotations

import platform
import sysconfig
from pathlib import Path

from maskrt.contract.manifest import Manifest
from maskrt.engines.builders.tensorrt.builder import runs_on
from maskrt.engines.builders.tensorrt.profile import format_canvas
from maskrt.engines.errors import EngineError
from maskrt.engines.package.needs import Needs
from maskrt.plugins import libraries
from maskrt.plugins.libraries import PluginLibraryError
from maskrt.plugins.loader import PluginLibrary, plugin_library
from maskrt.runtime.backends.tensorrt.manifest import (
    FLAVOR_NAMES,
    TensorRtSettings,
    check_plugins,
    tensorrt_settings,
)

CUDA = {
    12: ("cuda-bindings==12.9.10",),
    13: ('cuda-bindings==13.5.0; python_version >= "3.11"', 'cuda-bindings==13.4.4; python_version < "3.11"'),
}
"""By the major version of CUDA, which the driver has to have and the plugin library was compiled with."""

DRIVERS = {12: "525", 13: "580"}
"""The first driver for Linux of each CUDA (the CUDA Toolkit's release notes, "CUDA Driver")."""

_JETSON = ("7.2", "8.7")
"""The compute capabilities of Xavier and Orin; no other GPU has them. TensorRT comes with JetPack there."""
_JETSON_CPU = "aarch64"


def tensorrt_needs(engine: Path, manifest: Manifest) -> Needs:
    """Return what an engine needs on its device.

    Raises:
        ModelError: the engine was built with another plugin library.
        EngineError: the plugin library is missing, or does not fit the engine or its device.
    """
    settings = tensorrt_settings(engine, manifest)
    try:
        library = plugin_library()
        names = [libraries.PLUGINS, libraries.AUTOLOAD]
        if manifest.build.builder == "tensorrt-rtx":
            names.append(libraries.RTX_SHIM)
        plugins = {name: libraries.find(name).read_bytes() for name in names}
    except PluginLibraryError as error:
        raise EngineError(str(error)) from error
    _check_library(engine, manifest, settings, library)
    jetson = settings.compute_capability in _JETSON
    return Needs(
        requirements=requirements(manifest, settings, library.cuda),
        readme=_readme(manifest, settings, library.cuda),
        plugins=plugins,
        system_packages=jetson,
    )


def requirements(manifest: Manifest, settings: TensorRtSettings, cuda: int) -> tuple[str, ...]:
    """Return the lines for cuda-bindings and TensorRT.

    Args:
        manifest: of the engine.
        settings: of the same.
        cuda: version of CUDA of the plugin library, for example 13000.

    Raises:
        EngineError: no packages are known for that CUDA.
    """
    build, major = manifest.build, cuda // 1000
    if major not in CUDA:
        known = " and ".join(map(str, CUDA))
        raise EngineError(
            f"The plugin library was compiled with CUDA {major}, but the packages for the device are known for CUDA "
            f"{known}. Run `make plugins` with one of these (CUDACXX names the compiler)."
        )
    if settings.compute_capability in _JETSON:
        line = f"# {FLAVOR_NAMES[build.builder]} {build.builder_version} comes with JetPack."
    else:
        edition = f"{build.builder}-lean" if settings.version_compatible else build.builder
        line = f"{edition}-cu{major}=={build.builder_version}"
    return (*CUDA[major], line)


def _readme(manifest: Manifest, settings: TensorRtSettings, cuda: int) -> tuple[str, ...]:
    build = manifest.build
    title = f"{FLAVOR_NAMES[build.builder]} {build.builder_version}"
    if settings.compute_capability in _JETSON:
        needs = f"JetPack with {title}"
    else:
        driver = f"a driver for CUDA {cuda // 1000} ({DRIVERS[cuda // 1000]} or newer)"
        needs = f"{title}, {sysconfig.get_platform()}, {driver}"
    smallest, largest = format_canvas(settings.profile.min), format_canvas(settings.profile.max)
    return (
        f"For {build.target} (compute capability {settings.compute_capability}), {build.precision}.",
        f"Needs {needs}, Python 3.10 or newer.",
        f"Canvases (batch x height x width): {smallest} to {largest}.",
    )


def _check_library(engine: Path, manifest: Manifest, settings: TensorRtSettings, library: PluginLibrary) -> None:
    """Check that the engine runs with this plugin library, on its device."""
    target, capability = manifest.build.target, settings.compute_capability
    check_plugins(engine, manifest, library.version)
    if library.tensorrt_headers is None:
        raise EngineError(
            f"{library.path} was built without TensorRT headers and has only the kernels, but {engine} needs the "
            "plugins. Set TENSORRT_INCLUDE to the folder of NvInferRuntime.h and run `make plugins`."
        )
    if not runs_on(library.architectures, capability):
        raise EngineError(
            f"{library.path} has no code for {target} (compute capability {capability}): it has "
            f"{library.architectures}. Compile it for that: `make plugins`."
        )
    if capability in _JETSON and platform.machine() != _JETSON_CPU:
        raise EngineError(
            f"{engine} is for {target}, whose CPU is {_JETSON_CPU}, but the plugin library here is for "
            f"{platform.machine()}. Run `maskrt package` on the device."
        )
