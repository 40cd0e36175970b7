"""`maskrt targets`: what engines can be built for, in which precisions, and which builder does it on this machine."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from maskrt.command import run_verb
from maskrt.engines.builders.registry import builders_for, obstacle
from maskrt.engines.gpu import Gpu, local_gpu
from maskrt.engines.targets import LOCAL, GpuTarget, Target, find_target, target_names
from maskrt.errors import ArgumentError

EXTRA = "maskrt"
INTERRUPTED_NOTE = "nothing was written"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("--json", action="store_true", help="one JSON array, with the reason where a builder cannot")


def run(options: argparse.Namespace) -> int:
    """List the targets; return the exit code."""
    rows = list_targets(local_gpu())
    print(json.dumps(rows, indent=2, ensure_ascii=False) if options.json else _table(rows))
    return 0


def list_targets(gpu: Gpu | None) -> list[dict[str, Any]]:
    """Each target as a JSON object; `gpu` is the GPU of this machine.

    `builders` holds those that support the target: `precisions` that they build for it, of these those that they build
    `here`, and `obstacle`, why they build no more than that here, or null. `note` is why there are none, or null.
    """
    return [_row(name, gpu) for name in target_names()]


def _row(name: str, gpu: Gpu | None) -> dict[str, Any]:
    try:
        target = find_target(name, gpu)
    except ArgumentError as error:  # of `local` alone
        return {
            "name": name,
            "device": "the GPU of this machine",
            "compute_capability": None,
            "precisions": [],
            "builders": {},
            "note": str(error),
        }
    return {
        "name": name,
        "device": target.device,
        "compute_capability": target.compute_capability if isinstance(target, GpuTarget) else None,
        "precisions": list(target.precisions),
        "builders": {} if target.note else _builders(target, gpu),
        "note": target.note or None,
    }


def _builders(target: Target, gpu: Gpu | None) -> dict[str, Any]:
    found = {}
    for builder in builders_for(target):
        precisions = builder.precisions(target)
        obstacles = {precision: obstacle(builder, target, precision, gpu) for precision in precisions}
        reasons = [str(error) for error in obstacles.values() if error is not None]
        found[builder.name] = {
            "title": builder.title,
            "precisions": list(precisions),
            "here": [precision for precision, error in obstacles.items() if error is None],
            "obstacle": reasons[0] if reasons else None,
        }
    return found


def _table(rows: Sequence[dict[str, Any]]) -> str:
    lines = [("TARGET", "FOR", "COMPUTE", "PRECISIONS", "BUILT HERE BY"), *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
    return f"{text}\n`maskrt targets --json` says why where there is none; {LOCAL} is the GPU of this machine."


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    here = ", ".join(_builder_here(builder, row) for builder in row["builders"].values() if builder["here"])
    precisions = " ".join(row["precisions"])
    return row["name"], row["device"], row["compute_capability"] or "-", precisions or "-", here or "-"


def _builder_here(builder: dict[str, Any], row: dict[str, Any]) -> str:
    """Its title, with the precisions where it does not build all that the target has."""
    only = "" if builder["here"] == row["precisions"] else f" ({' '.join(builder['here'])})"
    return f"{builder['title']}{only}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `maskrt targets`; return the exit code."""
    return run_verb("maskrt targets", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
