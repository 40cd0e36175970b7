"""The two TensorRT packages, and importing one together with Polygraphy.

`tensorrt` (10.1 or newer) builds on the target GPU itself. `tensorrt_rtx` builds for a named compute capability on any
machine, with no GPU at all.
"""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass
from types import ModuleType

from maskrt.errors import ArgumentError, DependencyError
from maskrt.runtime.backends.tensorrt.manifest import FLAVOR_NAMES

_POLYGRAPHY_SWITCH = "POLYGRAPHY_USE_TENSORRT_RTX"


@dataclass(frozen=True)
class Package:
    """A TensorRT package: its Python module, the oldest version that loads the plugins, and how it is installed."""

    name: str
    module: str
    oldest: tuple[int, int]
    install: str

    @property
    def title(self) -> str:
        """Its name in prose."""
        return FLAVOR_NAMES[self.name]


TENSORRT = Package(
    "tensorrt",
    "tensorrt",
    (10, 1),  # before, Python cannot tell an execution context how large its memory is
    "`pip install tensorrt` (on a Jetson, it comes with JetPack 6.1 or newer)",
)
TENSORRT_RTX = Package("tensorrt-rtx", "tensorrt_rtx", (1, 7), "`pip install tensorrt-rtx-cu13`")


def import_tensorrt(package: Package) -> ModuleType:
    """Import the TensorRT package, and Polygraphy on top of it.

    Polygraphy decides at its import which of the two it uses, so a process can build with one only.

    Raises:
        DependencyError: the package or Polygraphy is not installed, cannot be loaded, or is too old.
        ArgumentError: Polygraphy was imported in this process for the other package.
    """
    try:
        trt = importlib.import_module(package.module)
    except ModuleNotFoundError as error:
        if error.name != package.module:
            raise _unloadable(package, error) from error
        raise DependencyError(f"{package.title} is not installed. Install it: {package.install}.") from error
    except (ImportError, OSError, RuntimeError) as error:
        raise _unloadable(package, error) from error
    if version_of(trt) < package.oldest:
        oldest = ".".join(map(str, package.oldest))
        raise DependencyError(
            f"{package.title} {trt.__version__} is too old: the plugins need {oldest} or newer. Install that: "
            f"{package.install}."
        )
    use_rtx = package is TENSORRT_RTX
    if "polygraphy" not in sys.modules:
        os.environ[_POLYGRAPHY_SWITCH] = "1" if use_rtx else "0"
    try:
        from polygraphy import config
    except ImportError as error:
        raise DependencyError("Building engines needs Polygraphy: `pip install maskrt[engines]`.") from error
    if use_rtx != config.USE_TENSORRT_RTX:
        raise ArgumentError(
            f"Polygraphy was imported in this process for the other TensorRT. Build with {package.title} in a "
            f"process of its own, or set {_POLYGRAPHY_SWITCH}={int(use_rtx)} before Polygraphy is imported."
        )
    return trt


def _unloadable(package: Package, error: Exception) -> DependencyError:
    return DependencyError(f"{package.title} cannot be loaded: {error}. Install it again: {package.install}.")


def version_of(trt: ModuleType) -> tuple[int, int]:
    """Major and minor version of a TensorRT module."""
    major, minor = trt.__version__.split(".")[:2]
    return int(major), int(minor)
