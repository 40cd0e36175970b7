"""Starting the parts one after the other, within a budget of time, and keeping what they report."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from maskrt.evaluation.environment import describe_environment
from maskrt.evaluation.results.files import write_result
from maskrt.evaluation.results.gpu_check import GpuCheck, PartRecord
from maskrt.plugins import libraries
from maskrt.tools.gpu_check.machine import REPOSITORY
from maskrt.tools.gpu_check.part import DONE, FAILED, SKIPPED
from maskrt.tools.gpu_check.parts import PARTS, Part

RESULTS = "gpu-check.json"
_PROCESS = "from maskrt.tools.gpu_check.part import main; main()"  # as `-m`, that module would be there twice
_LEAST_SECONDS = 5.0
"""With less left of the budget, no part is begun."""


def run_parts(
    parts: Sequence[Part], output: Path, carried: Path, budget: float | None = None, *, dry_run: bool = False
) -> Mapping[str, PartRecord]:
    """Run parts one after the other, and write `RESULTS` into `output` after each.

    Args:
        parts: what to run. Where one needs the plugin library and there is none, it is compiled before.
        output: an existing folder.
        carried: the folder of what came along, see `carried`.
        budget: seconds for all of them; None: as much as they take.
        dry_run: start also those whose plugin library could not be compiled.

    Returns:
        What was written, by the name of each part.
    """
    results: dict[str, PartRecord] = {}
    machine = describe_environment()
    start = time.monotonic()
    libraries_folder = output / "build"
    environment = _environment(libraries_folder)
    for part in _with_build(parts, libraries_folder):
        left = float("inf") if budget is None else budget - (time.monotonic() - start)
        if left < _LEAST_SECONDS:
            result = PartRecord("not reached", 0.0, reason="the budget was used up before")
        elif part.compiled and not dry_run and not (libraries_folder / libraries.PLUGINS).is_file():
            result = PartRecord(SKIPPED, 0.0, reason="the plugins could not be compiled, see build")
        else:
            print(f"== {part.name}: {part.about}", flush=True)
            result = _run(part, output, carried, min(part.limit, left), environment)
        results[part.name] = result
        write_result(output / RESULTS, GpuCheck(machine, results))
        print(f"== {part.name}: {', '.join(filter(None, (result.status, result.reason)))}", flush=True)
    return results


def _with_build(parts: Sequence[Part], folder: Path) -> Sequence[Part]:
    build = PARTS["build"]
    if build in parts or not any(part.compiled for part in parts) or (folder / libraries.PLUGINS).is_file():
        return parts
    return [build, *parts]


def _environment(folder: Path) -> Mapping[str, str]:
    path = os.pathsep.join(filter(None, (str(REPOSITORY / "src"), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", libraries.DIRECTORY_VARIABLE: str(folder)}


def _run(part: Part, output: Path, carried: Path, limit: float, environment: Mapping[str, str]) -> PartRecord:
    file = output / f"{part.name}.json"
    file.unlink(missing_ok=True)
    command = [sys.executable, "-c", _PROCESS, part.module, part.function, str(file), str(carried)]
    start = time.monotonic()
    # In a session of its own, so that what it started ends with it.
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    stopped, problem = False, None
    try:
        status = process.wait(limit)
        if status != 0:
            problem = f"its process ended with status {status}"
    except subprocess.TimeoutExpired:
        stopped, problem = True, f"it took longer than {limit:.0f} s"
    finally:
        _end(process)
    seconds = round(time.monotonic() - start, 1)
    try:
        # What is no number becomes a text: JSON has none for it.
        found = json.loads(file.read_text(encoding="utf-8"), parse_constant=str)
    except (OSError, ValueError):
        return PartRecord("stopped" if stopped else FAILED, seconds, reason=problem or "it reported nothing")
    if problem is not None and found["status"] != DONE:
        return PartRecord("stopped" if stopped else FAILED, seconds, found["results"], problem)
    return PartRecord(found["status"], seconds, found["results"], found.get("reason"))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a part's processes, also those that outlive it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
