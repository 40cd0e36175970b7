"""What a person reads."""

import io
import os
import sys

import pytest

from maskrt.terminal import printable, say


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größe 図.jpg", "größe 図.jpg"),
        ("\x1b]0;title\x07.jpg", r"\x1b]0;title\x07.jpg"),
        ("a\nb\r\t\x7f", r"a\nb\r\t\x7f"),
        ("\x9b31m", r"\x9b31m"),
        ("photo\u202egpj.exe", r"photo\u202egpj.exe"),
        ("\u2028\u2066", r"\u2028\u2066"),
        (os.fsdecode(b"gr\xfc"), r"gr\xfc"),
        ("\ud800", r"\ud800"),
        ("👨‍👩‍👧 می‌خواهم", "👨‍👩‍👧 می‌خواهم"),  # with joiners that do nothing to a terminal
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_say(capsys: pytest.CaptureFixture[str]) -> None:
    say()
    say("a\x1b", "b", file=sys.stderr)
    assert capsys.readouterr() == ("", "a\\x1b\nb\n")


def test_a_terminal_that_is_gone() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    say("a", file=Gone())
