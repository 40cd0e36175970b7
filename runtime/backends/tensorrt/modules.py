"""Which TensorRT package runs an engine, and importing it.

There are four: `tensorrt`, its runtime-only editions `tensorrt_lean` and `tensorrt_dispatch`, and `tensorrt_rtx`. An
engine runs in the version that built it and in no other. The lean runtime holds the layers of version-compatible
engines only, and the dispatch runtime hands such engines on to a lean one, so that neither runs an ordinary engine
("Unexpected call to stub", NVIDIA/TensorRT issues 3307 and 4790).
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

from maskrt.contract.manifest import BuildInputs, Manifest
from maskrt.errors import DependencyError
from maskrt.runtime.backends.tensorrt.manifest import FLAVOR_NAMES, check_tensorrt, tensorrt_settings

LEAN, DISPATCH = "tensorrt_lean", "tensorrt_dispatch"
_MODULES = {"tensorrt": ("tensorrt", LEAN, DISPATCH), "tensorrt-rtx": ("tensorrt_rtx",)}
_DISTRIBUTIONS = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt-rtx-cu13"}


def import_tensorrt(engine: Path, manifest: Manifest) -> ModuleType:
    """Return the first installed package that runs this engine.

    Raises:
        DependencyError: none is installed, or what is there cannot be loaded.
        ModelError: those that are there have other versions.
    """
    build = manifest.build
    version_compatible = tensorrt_settings(engine, manifest).version_compatible
    other_version: str | None = None
    unloadable: Exception | None = None
    for name in _MODULES[build.builder]:
        if name in (LEAN, DISPATCH) and not version_compatible:
            continue
        try:
            trt = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                unloadable = unloadable or error
        except (ImportError, OSError, RuntimeError) as error:
            unloadable = unloadable or error
        else:
            if trt.__version__ == build.builder_version:
                return trt
            other_version = other_version or str(trt.__version__)
    if other_version is not None:
        check_tensorrt(engine, manifest, build.builder, other_version)
    raise DependencyError(_missing(engine, build, unloadable))


def _missing(engine: Path, build: BuildInputs, unloadable: Exception | None) -> str:
    title = FLAVOR_NAMES[build.builder]
    where = " (on a Jetson, it comes with JetPack)" if build.builder == "tensorrt" else ""
    install = f'Install it: `pip install "{_DISTRIBUTIONS[build.builder]}=={build.builder_version}"`{where}.'
    if unloadable is not None:
        return f"{engine} runs in {title} {build.builder_version}, which cannot be loaded: {unloadable}. {install}"
    if any(importlib.util.find_spec(name) is not None for name in _MODULES[build.builder][1:]):
        install += " The lean and dispatch runtimes, of which there is one here, run version-compatible engines only."
    return f"{engine} runs in {title} {build.builder_version}, which is not installed. {install}"


def lean_library(version: str) -> str:
    """Find the lean runtime's library, which the dispatch runtime opens: in its wheel, else by name in the system."""
    name = f"libnvinfer_lean.so.{version.partition('.')[0]}"
    spec = importlib.util.find_spec("tensorrt_lean_libs")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        if (path := Path(folder) / name).is_file():
            return str(path)
    return name
