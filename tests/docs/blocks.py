"""The fenced blocks of README.md and docs/, and what they may say of why they are not run."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted((ROOT / "README.md", *(ROOT / "docs").glob("*.md")))

REASONS = (r"needs a GPU", r"needs the internet", r"needs your own files", r"long \(.+\)")
EXECUTED = ("sh", "python")
NOT_CODE = ("text", "json", "pbtxt", "c", "cpp")
HELP = (
    "Mend the block, or put one of these lines right before it:\n"
    + "\n".join(f"  <!-- not run: {reason} -->" for reason in (*REASONS[:-1], "long (which test runs it instead)"))
    + "\ntests/docs/test_documentation.py says what the block may use."
)


class Block(NamedTuple):
    """A fenced block: document, line of its fence, language, text, and why it is not run (None: it is)."""

    document: Path
    line: int
    language: str
    text: str
    reason: str | None

    @property
    def place(self) -> str:
        return f"{self.document.name}:{self.line}"


def blocks_of(document: Path) -> Iterator[Block]:
    """The fenced blocks of a document, in order."""
    reason, fence, lines = None, None, list[str]()
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), start=1):
        if fence is None and (opening := re.fullmatch(r"```(\S*)\s*", line)):
            fence, lines = (number, opening[1]), []
        elif fence is not None and line.strip() == "```":
            yield Block(document, *fence, "\n".join(lines) + "\n", reason)
            fence = reason = None
        elif fence is not None:
            lines.append(line)
        elif mark := re.fullmatch(r"<!-- not run: (.*?) -->", line.strip()):
            reason = mark[1]
        elif line.strip():
            reason = None
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
