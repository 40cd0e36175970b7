"""The builders, and which of them builds for a target. A new one is a module with a `Builder`, and a line here."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

from maskrt.engines.builders.base import Builder
from maskrt.engines.builders.openvino import OPENVINO
from maskrt.engines.builders.tensorrt.builder import TENSORRT, TENSORRT_RTX
from maskrt.engines.gpu import Gpu
from maskrt.engines.request import AUTO
from maskrt.engines.targets import Target
from maskrt.errors import ArgumentError, DependencyError, MaskrtError

BUILDERS: Mapping[str, Builder] = {builder.name: builder for builder in (TENSORRT, TENSORRT_RTX, OPENVINO)}
"""In the order in which they are preferred."""


def builders_for(target: Target) -> list[Builder]:
    """Those that support a target, on this machine or on another."""
    return [builder for builder in BUILDERS.values() if builder.precisions(target)]


def obstacle(builder: Builder, target: Target, precision: str, gpu: Gpu | None) -> MaskrtError | None:
    """Why a builder does not build for a target on this machine, which has that GPU; None: it does."""
    precisions = builder.precisions(target)
    if not precisions:
        able = builders_for(target)
        others = " or ".join(other.title for other in able)
        return ArgumentError(
            f"{builder.title} does not support {target}; build with {others}: --builder {able[0].name}."
        )
    if precision not in precisions:
        return ArgumentError(
            f"{builder.title} builds {' and '.join(precisions)} models for {target}, not {precision}. Make one with "
            "`maskrt quantize`."
        )
    here = builder.obstacle(target, precision, gpu)
    if here is None and importlib.util.find_spec(builder.module) is None:
        return DependencyError(f"{builder.title} is not installed. Install it: {builder.install}.")
    return here


def choose_builder(target: Target, precision: str, requested: str, gpu: Gpu | None) -> Builder:
    """Return the builder for a target.

    Args:
        target: what to build for.
        precision: of the model.
        requested: a name of `BUILDERS`, or "auto": the first of them that can build for the target here.
        gpu: the GPU of this machine.

    Raises:
        ArgumentError: none builds for the target, or not on this machine.
        DependencyError: the package that would is not installed.
    """
    able = builders_for(target)
    if target.note or not able:
        reason = target.note or "none of the builders supports it. Run the ONNX file there with ONNX Runtime"
        raise ArgumentError(f"No engine can be built for {target}: {reason}.")
    if requested != AUTO and requested not in BUILDERS:
        raise ArgumentError(f"There is no builder {requested!r}: expected {AUTO} or one of {', '.join(BUILDERS)}.")
    obstacles = []
    for builder in able if requested == AUTO else [BUILDERS[requested]]:
        found = obstacle(builder, target, precision, gpu)
        if found is None:
            return builder
        obstacles.append(found)
    # What can be installed helps more than what can never work.
    raise next((error for error in reversed(obstacles) if isinstance(error, DependencyError)), obstacles[0])
