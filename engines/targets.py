"""The GPUs that engines are built for, by name: `targets.json`."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from maskrt.engines.gpu import Gpu
from maskrt.errors import ArgumentError

LOCAL = "local"
"""The target that stands for the GPU of this machine."""

_FILE = Path(__file__).resolve().parent / "targets.json"


@dataclass(frozen=True)
class Target:
    """A GPU to build for.

    Attributes:
        name: as the user names it.
        gpu: which products it covers.
        compute_capability: for example "8.9".
        precisions: of "fp32", "fp16", "int8", "fp8", those that its tensor cores have.
        flavors: of "tensorrt", "tensorrt-rtx", those that build for it, with the precisions that each supports there
            (TensorRT-RTX multiplies no FP32 matrices on Turing).
        workspace_mib: the most scratch memory a layer may use, in MiB.
        max_batch: the largest batch of the default profile.
        note: why no flavor builds for it, where none does.
    """

    name: str
    gpu: str
    compute_capability: str
    precisions: tuple[str, ...]
    flavors: Mapping[str, Sequence[str]]
    workspace_mib: int
    max_batch: int
    note: str = ""


@cache
def _data() -> dict[str, Any]:
    return json.loads(_FILE.read_text(encoding="utf-8"))


def target_names() -> list[str]:
    """All names, `local` last."""
    return list(_data()["targets"])


def find_target(name: str, gpu: Gpu | None) -> Target:
    """The target of that name; `gpu` is the GPU of this machine, which `local` stands for.

    Raises:
        ArgumentError: there is none of that name, or `local` where there is no GPU, or one that is not known.
    """
    targets = _data()["targets"]
    if name not in targets:
        close = difflib.get_close_matches(name.lower(), targets, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ArgumentError(f"There is no target {name!r}.{hint} Known targets: {', '.join(targets)}.")
    values = targets[name]
    capability, product = values["compute_capability"], values["gpu"]
    if name == LOCAL:
        if gpu is None:
            others = ", ".join(other for other in targets if other != LOCAL)
            raise ArgumentError(
                f"The target {LOCAL} is the GPU of this machine, but there is no GPU or no driver here. Name the GPU "
                f"to build for with --target: {others}."
            )
        capability, product = gpu.compute_capability, gpu.name
    architectures = _data()["architectures"]
    if capability not in architectures:
        raise ArgumentError(
            f"{product} has compute capability {capability}; engines are built for {', '.join(architectures)}. Run the "
            "ONNX file with ONNX Runtime instead."
        )
    architecture = architectures[capability]
    return Target(
        name=name,
        gpu=product,
        compute_capability=capability,
        precisions=tuple(architecture["precisions"]),
        flavors=architecture["flavors"],
        workspace_mib=values["workspace_mib"],
        max_batch=values["max_batch"],
        note=architecture.get("note", ""),
    )


def check_precision(target: Target, precision: str) -> None:
    """That the GPU computes in this precision.

    Raises:
        ArgumentError: it does not; the message names targets that do.
    """
    if precision in target.precisions:
        return
    architectures = _data()["architectures"]
    able = [
        name
        for name, values in _data()["targets"].items()
        if precision in architectures.get(values["compute_capability"], {"precisions": ()})["precisions"]
    ]
    raise ArgumentError(
        f"{target.name} ({target.gpu}, compute capability {target.compute_capability}) has no {precision}; it has "
        f"{', '.join(target.precisions)}. Make a model of one of these with `maskrt quantize`"
        + (f", or build for {', '.join(able)}." if able else ".")
    )
