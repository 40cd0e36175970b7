"""One page from the results of `make compare`, `make evaluate` and `make bench`: self-contained HTML, and Markdown.

    python -m maskrt.evaluation.report.cli out/ --output out/report/index.html

takes compare.json, evaluate.json and bench.json, whichever are there, and writes index.html and index.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from maskrt.command import run_verb
from maskrt.errors import ArgumentError
from maskrt.evaluation.environment import describe_environment
from maskrt.evaluation.report.document import Document, Section
from maskrt.evaluation.report.gallery import gallery
from maskrt.evaluation.report.inputs import Results, read_results
from maskrt.evaluation.report.models import Model, collect_models
from maskrt.evaluation.report.render import to_html, to_markdown
from maskrt.evaluation.report.sections import accuracy, differences, origin, speed
from maskrt.evaluation.report.summary import summary
from maskrt.files import write_in_one_step
from maskrt.options import positive

EXTRA = "maskrt[report]"
INTERRUPTED_NOTE = "nothing was written"


def make_report(results: Results, pictures: int) -> Document:
    """The report of the results that are there, with at most that many images.

    Raises:
        ArgumentError: a mask in compare.json is damaged.
        DependencyError: a package that plots is not installed.
    """
    models = collect_models(results)
    environment = describe_environment()
    sections: list[Section | None] = [
        summary(models, results),
        gallery(models, results, pictures),
        accuracy(models, results),
        differences(models, results),
        speed(models, results),
        origin(results, environment),
    ]
    shown = results.all[0]["environment"]
    device, date = shown.get("device", "an unknown device"), str(shown.get("date", "")).partition("T")[0]
    return Document(
        title=_title(models),
        origin=f"maskrt {environment['packages']['maskrt']}, {device}{f', {date}' if date else ''}",
        sections=[section for section in sections if section is not None],
    )


def _title(models: Sequence[Model]) -> str:
    precisions = list(dict.fromkeys(model.precision.upper() for model in models if not model.is_pytorch))
    if not precisions:
        return "Mask R-CNN in PyTorch"
    return f"Mask R-CNN in {', '.join(precisions[:-1])}{' and ' if len(precisions) > 1 else ''}{precisions[-1]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `maskrt report`; returns the exit code."""
    return run_verb("maskrt report", sys.modules[__name__], arguments)


def run(options: argparse.Namespace) -> int:
    """Write the page; return the exit code."""
    if options.output.suffix != ".html":
        raise ArgumentError(f"--output should end in .html, but is {options.output}.")
    document = make_report(read_results(options.results), options.pictures)
    pages = {options.output: to_html(document), options.output.with_suffix(".md"): to_markdown(document)}
    try:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        for path, text in pages.items():
            write_in_one_step(path, text.encode(errors="replace"))  # JSON may hold half of a character
            print(f"{path}: {path.stat().st_size / 1e3:.0f} KB")
    except OSError as error:
        raise ArgumentError(f"{options.output} cannot be written: {error.strerror or error}.") from None
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument(
        "results", nargs="*", type=Path, default=[Path("out")], help="result files, or folders of them (default: out)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("out/report/index.html"), help="(default: %(default)s, and .md beside it)"
    )
    parser.add_argument("--pictures", type=positive, default=6, metavar="N", help="images shown (default: %(default)s)")


if __name__ == "__main__":
    sys.exit(main())
