"""The command; see the package."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import onnx

from maskrt.errors import MaskrtError, ModelError
from maskrt.files import write_in_one_step
from maskrt.tools.estimates.table import estimates_table

START, END = "<!-- estimates -->\n", "<!-- end -->\n"
"""Between these lines of a page is the table."""

RESULTS = Path(__file__).resolve().parents[2] / "evaluation" / "results"
"""The folder where measured results are looked for."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, or put it into a page."""
    parser = argparse.ArgumentParser(
        prog="python -m maskrt.tools.estimates",
        description="Estimate how long an FP16 engine of an exported file takes, stage by stage, as a Markdown table.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="exported .onnx file, FP32")
    parser.add_argument(
        "--size", nargs=2, type=int, metavar=("HEIGHT", "WIDTH"), default=(800, 1344), help="of the canvas (800 1344)"
    )
    parser.add_argument("--page", type=Path, help="Markdown page that takes the table, instead of printing it")
    options = parser.parse_args(arguments)
    try:
        table = estimates_table(_load(options.model), tuple(options.size), sorted(RESULTS.glob("gpu-check*.json")))
        if options.page is None:
            print(table, end="")
        else:
            text = options.page.read_text(encoding="utf-8")
            write_in_one_step(options.page, insert(text, table, options.page).encode())
    except OSError as error:
        print(f"error: {options.page} cannot be read or written: {error.strerror or error}.", file=sys.stderr)
        return 1
    except MaskrtError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def insert(page: str, table: str, path: Path) -> str:
    """Put a table into its place in a page.

    Raises:
        ModelError: the page has no place for it.
    """
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ModelError(f"{path} has no place for the table: the lines {START.strip()} and {END.strip()}.")
    return f"{before}{start}\n{table}\n{end}{after}"


def _load(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load(path)
    except Exception as error:  # of protobuf, which has several
        raise ModelError(f"{path} cannot be read as an ONNX file ({error}).") from None


if __name__ == "__main__":
    sys.exit(main())
