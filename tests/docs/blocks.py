"""The fenced blocks of the documents, how they are run, and what they may say of why they are not."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted((*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")))

RECIPE = "part of a recipe"
"""The reason of blocks that test_extending.py follows: they add something that is not there."""

REASONS = (r"needs a GPU", r"needs the internet", r"needs your own files", RECIPE, r"long \(.+\)")
EXECUTED = ("sh", "python")
NOT_CODE = ("text", "json", "pbtxt", "c", "cpp", "diff")
HELP = (
    "Mend the block, or put one of these lines right before it:\n"
    + "\n".join(f"  <!-- not run: {reason} -->" for reason in (*REASONS[:-1], "long (which test runs it instead)"))
    + "\ntests/docs/test_documentation.py says what the block may use."
)


class Block(NamedTuple):
    """A fenced block: document, line of its fence, language, text, and why it is not run (None: it is).

    `is_output`: it has `<!-- output -->` right before it, and is what the block above it prints.
    """

    document: Path
    line: int
    language: str
    text: str
    reason: str | None
    is_output: bool = False

    @property
    def place(self) -> str:
        return f"{self.document.name}:{self.line}"


def blocks_of(document: Path) -> Iterator[Block]:
    """The fenced blocks of a document, in order."""
    reason, is_output, fence, lines = None, False, None, list[str]()
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), start=1):
        if fence is None and (opening := re.fullmatch(r"```(\S*)\s*", line)):
            fence, lines = (number, opening[1]), []
        elif fence is not None and line.strip() == "```":
            yield Block(document, *fence, "\n".join(lines) + "\n", reason, is_output)
            fence, reason, is_output = None, None, False
        elif fence is not None:
            lines.append(line)
        elif mark := re.fullmatch(r"<!-- not run: (.*?) -->", line.strip()):
            reason = mark[1]
        elif line.strip():
            reason, is_output = None, line.strip() == "<!-- output -->"
    assert fence is None, f"{document.name}:{fence[0]}: this block has no end."


def check_form(block: Block) -> None:
    """That the block's language and reason are known."""
    known = ", ".join((*EXECUTED, *NOT_CODE))
    assert block.language in (*EXECUTED, *NOT_CODE), (
        f"{block.place}: a block of {block.language or 'no language'}; it has to be one of {known}. Shell is `sh`."
    )
    if block.reason is not None:
        fits = any(re.fullmatch(reason, block.reason) for reason in REASONS)
        assert fits, f"{block.place}: {block.reason!r} is not a reason for not running a block.\n{HELP}"


def run_block(block: Block, folder: Path, environment: Mapping[str, str]) -> str:
    """Executes a block, which has to end with 0, and returns what it prints."""
    command = ["bash", "-euo", "pipefail", "-c"] if block.language == "sh" else [sys.executable, "-c"]
    result = subprocess.run(
        [*command, block.text],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, (
        f"{block.place}: this block ended with {result.returncode}.\n{block.text}\n"
        f"It said:\n{result.stdout}{result.stderr}\n{HELP}"
    )
    return result.stdout


def write_command(path: Path, words: Sequence[str]) -> None:
    """Writes a program that runs these words, with the arguments that it is given."""
    path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    path.chmod(0o755)
