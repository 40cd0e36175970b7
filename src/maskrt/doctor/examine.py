"""Asking all probes, whatever becomes of them."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import maskrt
from maskrt.doctor.finding import BROKEN, Finding
from maskrt.doctor.probes import PROBES

FORMAT = 1
SECONDS = 120
"""That a probe may take: PyTorch is slow to start from a cold disk."""


def examine(seconds: float = SECONDS) -> dict[str, Any]:
    """Return what works here, as a JSON object: `format`, `maskrt`, `system`, and `findings` by name."""
    with ThreadPoolExecutor() as executor:
        found = dict(zip(PROBES, executor.map(lambda name: probe(name, seconds), PROBES), strict=True))
    return {
        "format": FORMAT,
        "maskrt": {"version": maskrt.__version__, "folder": str(Path(maskrt.__file__).resolve().parent)},
        "system": describe_system(),
        "findings": {
            name: {
                "group": PROBES[name][0],
                "state": finding.state,
                "detail": finding.detail,
                "remedy": finding.remedy,
            }
            for name, finding in found.items()
        },
    }


def describe_system() -> dict[str, Any]:
    """Return what the machine is."""
    return {
        "system": platform.platform(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "cores": os.cpu_count(),
        "environment": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith(("MASKRT_", "CUDA_", "TENSORRT_", "OMP_", "LD_LIBRARY_PATH", "PYTHONPATH"))
        },
    }


def probe(name: str, seconds: float, command: Sequence[str] = ("-m", "maskrt.doctor.probes")) -> Finding:
    """Look at one thing in a process of its own; a process that does not answer is a finding, too."""
    try:
        ended = subprocess.run(
            [sys.executable, *command, name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(_search_path())},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Finding(BROKEN, f"gave no answer in {seconds:g} s")
    except (OSError, ValueError) as error:
        return Finding(BROKEN, f"could not be looked at: {error}")
    if ended.returncode < 0:
        return Finding(BROKEN, f"ended the process with {_signal_name(-ended.returncode)}{_last_line(ended.stderr)}")
    try:
        return Finding.from_json(json.loads(ended.stdout))
    except ValueError:
        return Finding(BROKEN, f"gave no answer, and ended with {ended.returncode}{_last_line(ended.stderr)}")


def _search_path() -> Sequence[str]:
    """Where this process finds maskrt, before what the environment names."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [str(Path(maskrt.__file__).resolve().parents[1]), *(path for path in given if path)]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_line(text: bytes) -> str:
    lines = text.decode(errors="replace").strip().splitlines()
    return f": {lines[-1]}" if lines else ""


def as_text(answer: Mapping[str, Any]) -> str:
    """Write an answer of `examine` for a person, and for a bug report."""
    system = answer["system"]
    lines = [
        f"maskrt {answer['maskrt']['version']} in {answer['maskrt']['folder']}",
        f"Python {system['python']}, {system['system']}, {system['cores']} cores",
        *(f"{name}={value}" for name, value in system["environment"].items()),
    ]
    group = None
    width = max(map(len, answer["findings"]))
    for name, finding in answer["findings"].items():
        if finding["group"] != group:
            group = finding["group"]
            lines += ["", f"What {group}:" if group != "plugins" else "Plugins:"]
        lines.append(f"  {finding['state']:7}  {name:{width}}  {finding['detail']}")
        if finding["remedy"]:
            lines.append(f"  {'':7}  {'':{width}}  -> {finding['remedy']}")
    return "\n".join(lines)
