"""Where a result was measured, so that a figure can be judged and made again."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

import maskrt
from maskrt.engines.gpu import local_gpu

# One package may come in several distributions; the first one installed counts.
_DISTRIBUTIONS = {
    "numpy": ("numpy",),
    "opencv": ("opencv-python-headless", "opencv-python", "opencv-contrib-python"),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "torch": ("torch",),
    "torchvision": ("torchvision",),
    "detectron2": ("detectron2",),
    "mmdet": ("mmdet",),
    "mmcv": ("mmcv", "mmcv-full", "mmcv-lite"),
    "mmengine": ("mmengine",),
    "pycocotools": ("pycocotools",),
    "tensorrt": ("tensorrt", "tensorrt-cu13-bindings", "tensorrt-cu12-bindings", "tensorrt-lean-cu13-bindings"),
    "tensorrt_rtx": ("tensorrt-rtx-cu13-bindings", "tensorrt-rtx-cu12-bindings", "tensorrt-rtx"),
}
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Environment:
    """The `environment` entry of every result file.

    Attributes:
        date: ISO 8601, UTC, seconds.
        command: how this process was started, for a shell, with `python` for the interpreter.
        device: the name of the GPU, or of the processor where there is no GPU.
        cpu: the processor's model.
        cores: how many cores this process may use.
        gpu, compute_capability, driver: of the first visible GPU; each None where it is not known.
        system: operating system and the machine's architecture.
        packages: version of Python, maskrt and each known package that is installed.
        commit: of the checkout that maskrt runs from; None for an installed package.
        dirty: whether its files differ from that commit; None for an installed package.
    """

    date: str
    command: str
    device: str
    cpu: str
    cores: int
    gpu: str | None
    compute_capability: str | None
    driver: str | None
    system: str
    packages: Mapping[str, str]
    commit: str | None
    dirty: bool | None


def describe_environment() -> Environment:
    """Describe this machine and its packages. Imports no heavy package, and nothing in it may be missing."""
    gpu = local_gpu()
    cpu = _cpu_model()
    commit, dirty = _checkout(_ROOT)
    driver = None if gpu is None else _first_line("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    return Environment(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=_command(sys.orig_argv),
        device=cpu if gpu is None else gpu.name,
        cpu=cpu,
        cores=_usable_cores(),
        gpu=None if gpu is None else gpu.name,
        compute_capability=None if gpu is None else gpu.compute_capability,
        driver=driver,
        system=f"{platform.system()} {platform.machine()}",
        packages={"python": platform.python_version(), "maskrt": maskrt.__version__, **_versions()},
        commit=commit,
        dirty=dirty,
    )


def _versions() -> dict[str, str]:
    versions = {}
    for package, distributions in _DISTRIBUTIONS.items():
        for name in distributions:
            try:
                versions[package] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
            break
    return versions


def _cpu_model() -> str:
    """Read /proc/cpuinfo, which ARM kernels leave without a model name; there the device tree names the board."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()
        return Path("/proc/device-tree/model").read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return platform.processor() or platform.machine()


def _usable_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def _command(arguments: list[str]) -> str:
    """Write the command line without the places of this machine's interpreter and scripts."""
    rest = arguments[1:]
    if rest and not rest[0].startswith("-") and not rest[0].endswith(".py"):
        return shlex.join([Path(rest[0]).name, *rest[1:]])  # a console script
    return shlex.join(["python", *rest])


def _checkout(root: Path) -> tuple[str | None, bool | None]:
    """Find commit and dirtiness of the checkout whose top is `root`: an installed package may lie in someone else's."""
    top = _first_line("git", "-C", str(root), "rev-parse", "--show-toplevel")
    if top is None or Path(top) != root:
        return None, None
    commit = _first_line("git", "-C", str(root), "rev-parse", "HEAD")
    changed = _first_line("git", "-C", str(root), "status", "--porcelain")
    return commit, None if commit is None else changed is not None


def _first_line(*command: str) -> str | None:
    """Return what a command prints first; None where it is not installed, fails, or prints nothing."""
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    lines = output.splitlines()
    return lines[0].strip() or None if lines else None
