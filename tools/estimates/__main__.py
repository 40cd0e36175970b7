"""Estimate how long an FP16 engine of an exported file takes, stage by stage, as a table in Markdown.

What was measured is beside it where evaluation/results/ has results of gpu-check.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import onnx

from maskrt.command import run_verb
from maskrt.errors import ArgumentError, ModelError
from maskrt.files import write_in_one_step
from maskrt.tools.estimates.table import estimates_table

EXTRA = "maskrt[export]"
INTERRUPTED_NOTE = "the page is as it was, or has its table"

START, END = "<!-- estimates -->\n", "<!-- end -->\n"
"""Between these lines of a page is the table."""

RESULTS = Path(__file__).resolve().parents[2] / "evaluation" / "results"
"""The folder where measured results are looked for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="exported .onnx file, FP32")
    parser.add_argument(
        "--size", nargs=2, type=int, metavar=("HEIGHT", "WIDTH"), default=(800, 1344), help="of the canvas (800 1344)"
    )
    parser.add_argument("--page", type=Path, help="Markdown page that takes the table, instead of printing it")


def run(options: argparse.Namespace) -> int:
    """Print the table, or put it into a page."""
    table = estimates_table(_load(options.model), tuple(options.size), sorted(RESULTS.glob("gpu-check*.json")))
    if options.page is None:
        print(table, end="")
        return 0
    try:
        text = options.page.read_text(encoding="utf-8")
        write_in_one_step(options.page, insert(text, table, options.page).encode())
    except OSError as error:
        raise ArgumentError(f"{options.page} cannot be read or written: {error.strerror or error}.") from None
    return 0


def insert(page: str, table: str, path: Path) -> str:
    """Put a table into its place in a page.

    Raises:
        ArgumentError: the page has no place for it.
    """
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ArgumentError(f"{path} has no place for the table: the lines {START.strip()} and {END.strip()}.")
    return f"{before}{start}\n{table}\n{end}{after}"


def _load(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load(path)
    except Exception as error:  # of protobuf, which has several
        raise ModelError(f"{path} cannot be read as an ONNX file ({error}).") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_verb("python -m maskrt.tools.estimates", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
