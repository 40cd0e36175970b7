"""What a report consists of, before it becomes HTML or Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from maskrt.evaluation.report.figures import NONE


@dataclass(frozen=True)
class Cell:
    """A table cell that says whether what it tells is good or bad."""

    text: str
    tone: Literal["good", "bad"]

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain text."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of plain sentences, each good, bad or neither."""

    items: Sequence[str | Cell]


@dataclass(frozen=True)
class Table:
    """The first column names the row; the others are figures or short words.

    `folded` tables are closed at first, where the format allows it.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    folded: bool = False


def table_of(caption: str, rows: Sequence[dict[str, str | Cell]]) -> Table:
    """Make a table of rows that have the same keys, without the columns in which no row says anything."""
    header = [key for key in rows[0] if any(str(row[key]) != NONE for row in rows)] if rows else []
    return Table(caption, header, [[row[key] for key in header] for row in rows])


@dataclass(frozen=True)
class Plot:
    """`svg` markup, which takes its colours from the page; `alt` says in words what it shows."""

    svg: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Picture:
    """An encoded image (WebP) of (height, width) `size`; `alt` says in words what is on it."""

    data: bytes
    size: tuple[int, int]
    alt: str
    caption: str


@dataclass(frozen=True)
class Strip:
    """Rows of pictures to be seen side by side."""

    title: str
    rows: Sequence[Sequence[Picture]]


@dataclass(frozen=True)
class Code:
    """Lines for a shell."""

    text: str


Block = Paragraph | Bullets | Table | Plot | Strip | Code


@dataclass(frozen=True)
class Section:
    """A heading and what is below it; `anchor` is its name within the page."""

    anchor: str
    title: str
    blocks: list[Block] = field(default_factory=list)


@dataclass(frozen=True)
class Document:
    """The whole report: the title, one line on where it was made, and sections, the summary first."""

    title: str
    origin: str
    sections: list[Section]
