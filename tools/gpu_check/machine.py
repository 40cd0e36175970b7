"""What is checked, and compiling for it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import maskrt
from maskrt.plugins import build as plugins
from maskrt.plugins import libraries
from maskrt.tools.gpu_check.part import Report, Skip, require_gpu

REPOSITORY = Path(__file__).resolve().parents[2]


def describe(report: Report) -> None:
    """Describe the GPU and the software that drives it."""
    torch = require_gpu()
    import torchvision

    properties = torch.cuda.get_device_properties(0)
    facts = {
        "device": torch.cuda.get_device_name(),
        "compute_capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "memory_mb": properties.total_memory // 1_000_000,
        "driver": _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        "clocks": _output("nvidia-smi", "--query-gpu=clocks.sm,clocks.mem,clocks.max.sm", "--format=csv,noheader"),
        "cuda": torch.version.cuda,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "maskrt": maskrt.__version__,
        "commit": _output("git", "-C", str(REPOSITORY), "rev-parse", "HEAD"),
    }
    for name, fact in facts.items():
        report.add(name, fact)


def build(report: Report) -> None:
    """Compile the plugins for this machine's GPU into the folder that the other parts look in."""
    torch = require_gpu()
    major, minor = torch.cuda.get_device_capability()
    try:
        folder = plugins.build(libraries.directory(), architectures=f"{major}{minor}-real", tensorrt="AUTO")
    except plugins.BuildError as error:
        raise Skip(str(error)) from None
    report.add("folder", str(folder))


def _output(*command: str) -> str | None:
    """Return the first line that a command prints, or None where it is missing or fails."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    lines = result.stdout.strip().splitlines()
    return lines[0] if result.returncode == 0 and lines else None
