"""A part of the check, on the side of its process, which `run` starts."""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from pathlib import Path
from typing import Any, Final

from maskrt.files import write_in_one_step

DONE: Final = "done"
SKIPPED: Final = "skipped"
FAILED: Final = "failed"


class Skip(Exception):
    """This part cannot run here; the message says why."""


class Report:
    """What a part found so far; written at each step, so that a part that is stopped keeps what it has.

    Args:
        path: the JSON file.
        carried: the folder of what came along, see `carried`.
    """

    def __init__(self, path: Path, carried: Path) -> None:
        self.carried = carried
        self._path = path
        self._content: dict[str, Any] = {"status": FAILED, "reason": "it did not come to its end", "results": {}}

    def add(self, name: str, result: Any) -> None:
        """Add a result, any JSON value."""
        self._content["results"][name] = result
        self._write()

    def end(self, status: str, reason: str = "") -> None:
        """Say how it ended."""
        self._content["status"] = status
        self._content.pop("reason", None)
        if reason:
            self._content["reason"] = reason
        self._write()

    def _write(self) -> None:
        write_in_one_step(self._path, json.dumps(self._content, indent=2).encode())


def require_gpu() -> Any:
    """Import torch where it drives a GPU.

    Raises:
        Skip: it does not, or is not installed.
    """
    try:
        import torch
        import torchvision  # noqa: F401
    except ImportError as error:
        raise Skip(f"torch and torchvision are needed to drive the GPU, and cannot be imported ({error})") from None
    if not torch.cuda.is_available():
        raise Skip("torch sees no NVIDIA GPU on this machine")
    return torch


def run_part(module: str, function: str, report: Report) -> None:
    """Run a part to its end, whatever that is, and report it."""
    report.end(FAILED, "it did not come to its end")
    try:
        getattr(importlib.import_module(module), function)(report)
    except Skip as reason:
        report.end(SKIPPED, str(reason))
    except ImportError as error:
        report.end(SKIPPED, f"a package that it needs cannot be imported: {error}")
    except Exception as error:
        traceback.print_exc()
        report.end(FAILED, f"{type(error).__name__}: {error}")
    else:
        report.end(DONE)


def main() -> None:
    """Run the part that the command line names: its module and function, the file of its results, what came along."""
    module, function, result, carried = sys.argv[1:]
    run_part(module, function, Report(Path(result), Path(carried)))
