"""The two TensorRT packages: which one builds for a target, and importing it together with Polygraphy.

`tensorrt` (10 or newer) builds on the target GPU itself. `tensorrt_rtx` builds for a named compute capability on any
machine, with no GPU at all.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from dataclasses import dataclass
from types import ModuleType

from maskrt.contract.manifest import FLAVOR_NAMES
from maskrt.engines.gpu import Gpu
from maskrt.engines.targets import Target
from maskrt.errors import ArgumentError, DependencyError

_POLYGRAPHY_SWITCH = "POLYGRAPHY_USE_TENSORRT_RTX"


@dataclass(frozen=True)
class Flavor:
    """A TensorRT package: its Python module, the oldest version that loads the plugins, and how it is installed."""

    name: str
    module: str
    oldest: tuple[int, int]
    install: str

    @property
    def title(self) -> str:
        """Its name in prose."""
        return FLAVOR_NAMES[self.name]


TENSORRT = Flavor(
    "tensorrt", "tensorrt", (10, 0), "`pip install tensorrt` (on a Jetson, it comes with JetPack 6 or newer)"
)
TENSORRT_RTX = Flavor("tensorrt-rtx", "tensorrt_rtx", (1, 7), "`pip install tensorrt-rtx-cu13`")
FLAVORS = {flavor.name: flavor for flavor in (TENSORRT, TENSORRT_RTX)}
AUTO = "auto"


def choose_flavor(target: Target, precision: str, requested: str, gpu: Gpu | None) -> Flavor:
    """The TensorRT package to build with.

    Args:
        target: the GPU to build for.
        precision: of the model.
        requested: "tensorrt", "tensorrt-rtx", or "auto": the first of them that can build for the target here.
        gpu: the GPU of this machine.

    Raises:
        ArgumentError: none builds for the target, or not on this machine.
        DependencyError: the package that would is not installed.
    """
    if not target.flavors:
        raise ArgumentError(f"No engine can be built for {target.name} ({target.gpu}): {target.note}.")
    candidates = list(FLAVORS.values()) if requested == AUTO else [FLAVORS[requested]]
    obstacles = []
    for flavor in candidates:
        obstacle = _unfit(flavor, target, precision, gpu)
        if obstacle is None and importlib.util.find_spec(flavor.module) is not None:
            return flavor
        obstacles.append(obstacle or DependencyError(f"{flavor.title} is not installed. Install it: {flavor.install}."))
    # What can be installed helps more than what can never work.
    raise next((error for error in reversed(obstacles) if isinstance(error, DependencyError)), obstacles[0])


def _unfit(flavor: Flavor, target: Target, precision: str, gpu: Gpu | None) -> ArgumentError | None:
    """Why a flavor cannot build for the target on this machine, whether it is installed or not."""
    if flavor.name not in target.flavors:
        others = " or ".join(FLAVORS[name].title for name in target.flavors)
        return ArgumentError(
            f"{flavor.title} does not support {target.name} ({target.gpu}, compute capability "
            f"{target.compute_capability}); build with {others}: --flavor {next(iter(target.flavors))}."
        )
    precisions = target.flavors[flavor.name]
    if precision not in precisions:
        return ArgumentError(
            f"{flavor.title} builds {' and '.join(precisions)} models for {target.name} ({target.gpu}, compute "
            f"capability {target.compute_capability}), not {precision}. Make one with `maskrt quantize`."
        )
    if flavor is TENSORRT and (gpu is None or gpu.compute_capability != target.compute_capability):
        here = "none" if gpu is None else f"{gpu.name} (compute capability {gpu.compute_capability})"
        with_rtx = target.flavors.get(TENSORRT_RTX.name, ())
        if precision in with_rtx:
            otherwise = ", or build here with --flavor tensorrt-rtx"
        elif with_rtx:
            otherwise = (
                f", or make a model of {' or '.join(with_rtx)} with `maskrt quantize`, which TensorRT-RTX builds here"
            )
        else:
            otherwise = ""
        return ArgumentError(
            f"TensorRT builds on the target GPU itself, here {target.name} ({target.gpu}, compute capability "
            f"{target.compute_capability}), but the GPU of this machine is: {here}. Copy the ONNX file to that machine "
            f"and run `maskrt engine` there{otherwise}."
        )
    return None


def import_tensorrt(flavor: Flavor) -> ModuleType:
    """Import the TensorRT package, and Polygraphy on top of it.

    Polygraphy decides at its import which of the two it uses, so a process can build with one only.

    Raises:
        DependencyError: the package or Polygraphy is not installed, cannot be loaded, or is too old.
        ArgumentError: Polygraphy was imported in this process for the other package.
    """
    try:
        trt = importlib.import_module(flavor.module)
    except ModuleNotFoundError as error:
        if error.name != flavor.module:
            raise _unloadable(flavor, error) from error
        raise DependencyError(f"{flavor.title} is not installed. Install it: {flavor.install}.") from error
    except (ImportError, OSError, RuntimeError) as error:
        raise _unloadable(flavor, error) from error
    if version_of(trt) < flavor.oldest:
        oldest = ".".join(map(str, flavor.oldest))
        raise DependencyError(
            f"{flavor.title} {trt.__version__} is too old: the plugins need {oldest} or newer. Install that: "
            f"{flavor.install}."
        )
    use_rtx = flavor is TENSORRT_RTX
    if "polygraphy" not in sys.modules:
        os.environ[_POLYGRAPHY_SWITCH] = "1" if use_rtx else "0"
    try:
        from polygraphy import config
    except ImportError as error:
        raise DependencyError("Building engines needs Polygraphy: `pip install maskrt[engines]`.") from error
    if use_rtx != config.USE_TENSORRT_RTX:
        raise ArgumentError(
            f"Polygraphy was imported in this process for the other TensorRT. Build with {flavor.title} in a "
            f"process of its own, or set {_POLYGRAPHY_SWITCH}={int(use_rtx)} before Polygraphy is imported."
        )
    return trt


def _unloadable(flavor: Flavor, error: Exception) -> DependencyError:
    return DependencyError(f"{flavor.title} cannot be loaded: {error}. Install it again: {flavor.install}.")


def version_of(trt: ModuleType) -> tuple[int, int]:
    """Major and minor version of a TensorRT module."""
    major, minor = trt.__version__.split(".")[:2]
    return int(major), int(minor)
