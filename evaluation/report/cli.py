"""`maskrt report`: the results of `maskrt compare`, `evaluate` and `bench` and of GPUs on one page, self-contained.

    maskrt report out/ --output out/report/index.html

takes compare.json, evaluate.json, bench.json and gpu-check.json (of several GPUs: gpu-check-NAME.json), whichever are
there, and writes index.html and, in Markdown, index.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from maskrt.command import run_verb
from maskrt.errors import ArgumentError
from maskrt.files import check_writable, remove_stale, write_in_one_step
from maskrt.options import add_output_option, named_path, positive
from maskrt.terminal import say

EXTRA = "maskrt[report]"
INTERRUPTED_NOTE = "nothing was written"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument(
        "results",
        nargs="*",
        type=named_path,
        default=[Path("out")],
        metavar="RESULTS",
        help="result files, or folders of them (default: out)",
    )
    parser.add_argument("--limit", type=positive, default=6, metavar="N", help="show N images (default: %(default)s)")
    add_output_option(parser, Path("out/report/index.html"), "page to write, with the same in Markdown beside it")


def run(options: argparse.Namespace) -> int:
    """Write the page; return the exit code.

    Raises:
        MaskrtError: something the user gave does not work.
    """
    output: Path = options.output
    if output.suffix != ".html":
        raise ArgumentError(f"--output should end in .html, but is {output}.")
    from maskrt.evaluation.report.inputs import read_results
    from maskrt.evaluation.report.page import make_report
    from maskrt.evaluation.report.render import to_html, to_markdown

    remove_stale(output.parent)
    for path in (output, output.with_suffix(".md")):
        if path.exists():
            check_writable(path)
    document = make_report(read_results(options.results), options.limit)
    pages = {output: to_html(document), output.with_suffix(".md"): to_markdown(document)}
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        for path, text in pages.items():
            write_in_one_step(path, text.encode(errors="replace"))  # JSON may hold half of a character
            say(f"{path}: {path.stat().st_size / 1e3:.0f} KB")
    except OSError as error:
        raise ArgumentError(f"{output} cannot be written: {error.strerror or error}.") from None
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `maskrt report`; return the exit code."""
    return run_verb("maskrt report", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
