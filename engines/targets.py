"""What engines are built for, by name: `targets.json`.

A GPU there is one line: which precisions it has follows from its compute capability (`contract.precision`).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from maskrt.contract.precision import PRECISIONS, SOURCE_PRECISION
from maskrt.engines.gpu import Gpu
from maskrt.errors import ArgumentError

LOCAL = "local"
"""The target that stands for the GPU of this machine."""

_FILE = Path(__file__).resolve().parent / "targets.json"


@dataclass(frozen=True, kw_only=True)
class Target:
    """What an engine is built for.

    Attributes:
        name: as the user names it.
        device: which products it covers.
        precisions: names of `contract.precision.PRECISIONS` that it computes in.
        note: why no engine can be built for it, where none can.
    """

    name: str
    device: str
    precisions: tuple[str, ...]
    note: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.device})"


@dataclass(frozen=True, kw_only=True)
class GpuTarget(Target):
    """An NVIDIA GPU.

    Attributes:
        compute_capability: for example "8.9".
        workspace_mib: the most scratch memory a layer may use, in MiB.
        max_batch: the largest batch of the default profile.
    """

    compute_capability: str
    workspace_mib: int
    max_batch: int

    def __str__(self) -> str:
        return f"{self.name} ({self.device}, compute capability {self.compute_capability})"


@cache
def _targets() -> Mapping[str, Mapping[str, Any]]:
    return json.loads(_FILE.read_text(encoding="utf-8"))


def target_names() -> list[str]:
    """All names, `local` last."""
    return list(_targets())


def at_least(compute_capability: str, oldest: str) -> bool:
    """Whether a GPU of the one compute capability has what came with the other ("8.10" is newer than "8.9")."""
    given, least = (tuple(map(int, text.split("."))) for text in (compute_capability, oldest))
    return given >= least


def find_target(name: str, gpu: Gpu | None) -> Target:
    """Return the target of that name; `gpu` is the GPU of this machine, which `local` stands for.

    Raises:
        ArgumentError: there is none of that name, or `local` where there is no GPU, or one that has no precision.
    """
    targets = _targets()
    if name not in targets:
        close = difflib.get_close_matches(name.lower(), targets, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ArgumentError(f"There is no target {name!r}.{hint} Known targets: {', '.join(targets)}.")
    values = targets[name]
    if "cpu" in values:
        return Target(name=name, device=values["cpu"], precisions=tuple(values["precisions"]))
    capability, product = values["compute_capability"], values["gpu"]
    if name == LOCAL:
        if gpu is None:
            others = ", ".join(other for other in targets if other != LOCAL)
            raise ArgumentError(
                f"The target {LOCAL} is the GPU of this machine, but there is no GPU or no driver here. Name what to "
                f"build for with --target: {others}."
            )
        capability, product = gpu.compute_capability, gpu.name
    precisions = tuple(row.name for row in PRECISIONS.values() if at_least(capability, row.compute_capability))
    if not precisions:
        raise ArgumentError(
            f"{product} has compute capability {capability}; engines are built for "
            f"{PRECISIONS[SOURCE_PRECISION].compute_capability} and newer. Run the ONNX file with ONNX Runtime instead."
        )
    return GpuTarget(
        name=name,
        device=product,
        precisions=precisions,
        note=values.get("note", ""),
        compute_capability=capability,
        workspace_mib=values["workspace_mib"],
        max_batch=values["max_batch"],
    )


def check_precision(target: Target, precision: str) -> None:
    """Check that the target computes in this precision.

    Raises:
        ArgumentError: it does not; the message names targets that do.
    """
    if precision in target.precisions:
        return
    others = (find_target(name, None) for name in target_names() if name != LOCAL)
    able = [other.name for other in others if precision in other.precisions]
    raise ArgumentError(
        f"{target} has no {precision}; it has {', '.join(target.precisions)}. Make a model of one of these with "
        "`maskrt quantize`" + (f", or build for {', '.join(able)}." if able else ".")
    )
