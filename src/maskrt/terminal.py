"""Lines for a person to read: what a file name may hold does nothing to the terminal."""

import contextlib
import re
import sys
from typing import TextIO

# Control characters (C0, C1), line and paragraph separators, what reverses the direction of writing, and the halves of
# characters in which Python shows bytes that are no UTF-8 (PEP 383).
_UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Return a text with its control characters as escapes: `\x1b`, `\n`; a byte that is no text as `\xfc`."""
    return _UNPRINTABLE.sub(_escape, text)


def say(*lines: str, file: TextIO | None = None) -> None:
    """Print lines, each `printable`; a terminal or pipe that is closed is no reason to stop.

    Args:
        lines: without line feeds.
        file: None: standard output.
    """
    stream = sys.stdout if file is None else file
    with contextlib.suppress(OSError):
        stream.write("".join(f"{printable(line)}\n" for line in lines))
        stream.flush()


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("ascii", "backslashreplace").decode() if ord(character) > 0x7F else ascii(character)[1:-1]
