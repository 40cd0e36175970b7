"""The demo model's figures in README.md and docs/: its picture, its table of AP, and what the quick start prints.

Run it after the demo model has changed: `make evaluate PRECISION="fp32 fp16 int8 fp8"` and then `make figures`.
Tables stand between <!-- ap of the demo model --> and <!-- end -->; a printed block is under <!-- output -->.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from maskrt.command import run_verb
from maskrt.errors import ArgumentError
from maskrt.evaluation.results.evaluate import Evaluation, ModelRecord
from maskrt.evaluation.results.files import read_result
from maskrt.export.exporter import export_onnx
from maskrt.export.families.base import describe_model
from maskrt.files import write_in_one_step
from maskrt.runtime import Segmenter
from maskrt.shapes.model import shapes_model
from maskrt.shapes.picture import draw_beside_pytorch, shown_images, write_picture

EXTRA = "maskrt[export,cpu,shapes]"
INTERRUPTED_NOTE = "each document is as it was, or as it shall be"

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "figures" / "demo.jpg"
AP_DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "quantization.md")
_TABLE = re.compile(r"(<!-- ap of the demo model -->\n\n).*?(\n\n<!-- end -->)", re.DOTALL)
_PRINTED = re.compile(r"(```python\n)(.*?)(```\n\n<!-- output -->\n```text\n)(.*?)(```)", re.DOTALL)
_QUICK_START = "shapes.onnx"
"""The file that README's quick start exports."""


def ap_table(evaluation: Evaluation, folder: Path) -> str:
    """Return the table of AP and file sizes of all files in a result, as Markdown.

    Raises:
        ArgumentError: it is of another data set than the 200 held-out scenes, or a file is gone.
    """
    if evaluation.dataset.images != 200:
        raise ArgumentError(f"The table is of 200 scenes, but this result is of {evaluation.dataset.images}.")
    rows = [_row(model, folder) for model in evaluation.models]
    return "\n".join(("| | box AP | mask AP | file |", "|---|---|---|---|", *rows))


def _row(model: ModelRecord, folder: Path) -> str:
    if model.mask is None or model.mask.AP is None or model.box.AP is None:
        raise ArgumentError(f"{model.name} has no AP of masks.")
    if model.file is None:
        return f"| {model.name} | {model.box.AP:.4f} | {model.mask.AP:.4f} | |"
    file = folder / model.file
    if not file.is_file():
        raise ArgumentError(f"{file} is gone, whose size belongs into the table. Evaluate it again.")
    size = f"{file.stat().st_size / 1e6:.1f} MB"
    return f"| {model.precision.upper()} | {model.box.AP:.4f} | {model.mask.AP:.4f} | {size} |"


def with_table(text: str, table: str) -> str:
    """Return a document with another table of AP.

    Raises:
        ArgumentError: it has no place for one.
    """
    changed, number = _TABLE.subn(lambda found: found[1] + table + found[2], text)
    if not number:
        raise ArgumentError("The document has no <!-- ap of the demo model -->.")
    return changed


def with_output(text: str) -> str:
    """Return a document with what its Python blocks above <!-- output --> print, run in the current folder."""

    def fill(found: re.Match[str]) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(found[2], "README.md", "exec"), {"__name__": "__main__"})
        return found[1] + found[2] + found[3] + printed.getvalue() + found[5]

    return _PRINTED.sub(fill, text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "--evaluation",
        type=Path,
        metavar="JSON",
        help="evaluate.json of the demo model's files (default: the tables stay as they are)",
    )


def run(options: argparse.Namespace) -> int:
    """Fill all of them in; return the exit code.

    Raises:
        MaskrtError: the demo model cannot be exported, or the result is of something else.
    """
    texts = {path: path.read_text(encoding="utf-8") for path in AP_DOCUMENTS}
    if options.evaluation is not None:
        result = read_result(options.evaluation)
        if not isinstance(result, Evaluation):
            raise ArgumentError(f"{options.evaluation} is not what `maskrt evaluate` writes.")
        table = ap_table(result, Path.cwd())
        texts = {path: with_table(text, table) for path, text in texts.items()}
    source = describe_model(shapes_model())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export_onnx(source.model, folder / "float32.onnx", input_type="float32", stream=sys.stdout)
        picture = draw_beside_pytorch(source.reference(), Segmenter(folder / "float32.onnx"), shown_images())
        write_picture(PICTURE, picture)
        export_onnx(source.model, folder / _QUICK_START, stream=sys.stdout)
        (folder / "docs").symlink_to(ROOT / "docs")
        before = Path.cwd()
        os.chdir(folder)
        try:
            readme = with_output(texts[ROOT / "README.md"])
        finally:
            os.chdir(before)
    for path, text in {**texts, ROOT / "README.md": readme}.items():
        write_in_one_step(path, text.encode())
        print(path.relative_to(ROOT))
    print(PICTURE.relative_to(ROOT))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_verb("python -m maskrt.tools.document_figures", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
