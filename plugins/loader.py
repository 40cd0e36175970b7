"""Registering the plugin library with TensorRT or TensorRT-RTX, and reading what it says of itself."""

from __future__ import annotations

import ctypes
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import maskrt
from maskrt.plugins import libraries
from maskrt.plugins.libraries import PluginLibraryError

PLUGIN_NAMES = ("MultilevelRoIAlign", "DecodeKeypoints", "GenerateProposals", "DetectionOutput")
PLUGIN_VERSION = "1"
PLUGIN_NAMESPACE = ""


@dataclass(frozen=True)
class PluginLibrary:
    """A compiled plugin library.

    Args:
        path: where it lies.
        version: of maskrt.
        tensorrt_headers: the version of TensorRT whose headers it was compiled with; None: it has the kernels only.
        cuda: the CUDA version, e.g. 13000.
        architectures: of the GPUs that it has machine code or PTX for.
    """

    path: Path
    version: str
    tensorrt_headers: str | None
    cuda: int
    architectures: str


def plugin_library() -> PluginLibrary:
    """Find the plugin library on this machine and read what it says of itself.

    Raises:
        PluginLibraryError: it is missing, cannot be loaded, or belongs to another maskrt.
    """
    path = libraries.find(libraries.PLUGINS)
    library = libraries.open_library(path)
    library.maskrt_plugins_version.restype = ctypes.c_char_p
    described = PluginLibrary(path, **json.loads(library.maskrt_plugins_version()))
    if described.version != maskrt.__version__:
        raise PluginLibraryError(
            f"{path} is of maskrt {described.version}, but this is maskrt {maskrt.__version__}. Run `make plugins`."
        )
    return described


def load_plugins(trt: ModuleType) -> PluginLibrary:
    """Make the plugins of `PLUGIN_NAMES` known to a TensorRT module; a second call finds them known.

    Args:
        trt: the imported module `tensorrt` (10 or newer) or `tensorrt_rtx`.

    Raises:
        PluginLibraryError: the library is missing, was built for newer TensorRT headers, or is refused.
    """
    described = plugin_library()
    is_rtx = trt.__name__.startswith("tensorrt_rtx")
    _check_headers(described, trt, is_rtx)
    if is_rtx:
        _load_rtx_shim()
    registry = trt.get_plugin_registry()
    if not _registered(registry):
        handle = registry.load_library(str(described.path))
        if handle is None or not _registered(registry):
            raise PluginLibraryError(
                f"{trt.__name__} {trt.__version__} did not take the plugins from {described.path}; "
                "its log says why. Set TENSORRT_INCLUDE to that version's headers and run `make plugins`."
            )
    return described


def check_driver(described: PluginLibrary, driver: int) -> None:
    """Check that the driver knows the CUDA that the library was compiled with.

    Where it does not, kernels fail at their first launch. Within a major version, any driver does (CUDA's minor version
    compatibility).

    Args:
        described: the library.
        driver: the newest CUDA that the driver supports, as `cudaDriverGetVersion` gives it, e.g. 12040.

    Raises:
        PluginLibraryError: it is of an earlier major version.
    """
    if driver // 1000 < described.cuda // 1000:
        raise PluginLibraryError(
            f"{described.path} was compiled with CUDA {cuda_version(described.cuda)}, but the NVIDIA driver supports "
            f"CUDA {cuda_version(driver)}. Update the driver, or compile the plugins with an nvcc of CUDA "
            f"{driver // 1000}: `make plugins`."
        )


def cuda_version(number: int) -> str:
    """Write CUDA's 12040 as "12.4"."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _check_headers(described: PluginLibrary, trt: ModuleType, is_rtx: bool) -> None:
    if described.tensorrt_headers is None:
        raise PluginLibraryError(
            f"{described.path} was built without TensorRT headers and has only the kernels. "
            "Set TENSORRT_INCLUDE to the folder of NvInferRuntime.h and run `make plugins`."
        )
    if is_rtx:  # numbered on its own; takes the plugin interface of TensorRT 10.14
        return
    built, running = (tuple(map(int, v.split(".")[:2])) for v in (described.tensorrt_headers, trt.__version__))
    if built > running:
        raise PluginLibraryError(
            f"{described.path} was built for TensorRT {described.tensorrt_headers}, but TensorRT "
            f"{trt.__version__} is running. Set TENSORRT_INCLUDE to its headers and run `make plugins`."
        )


def _registered(registry: Any) -> bool:
    # Not get_creator: TensorRT logs an error for a name that it does not find.
    known = {(c.name, c.plugin_version, c.plugin_namespace) for c in registry.all_creators}
    return all((name, PLUGIN_VERSION, PLUGIN_NAMESPACE) in known for name in PLUGIN_NAMES)


def _load_rtx_shim() -> None:
    """Let TensorRT-RTX's ONNX parser find `libtensorrt_rtx.so`, the name it opens to add a plugin layer.

    The wheel has only `libtensorrt_rtx.so.1`; without the other name the process dies while parsing. Nothing
    is done where the name already leads to the loaded library (LD_LIBRARY_PATH, a system-wide installation).
    """
    try:
        ctypes.CDLL("libtensorrt_rtx.so", mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    except OSError:
        ctypes.CDLL(str(libraries.find(libraries.RTX_SHIM)), mode=ctypes.RTLD_GLOBAL)
