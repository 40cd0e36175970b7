"""How far a build has come: a line redrawn on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TextIO

_REDRAW_SECONDS = 0.2
_LINE_SECONDS = 10.0
_STEP = re.compile(r"\[\s*(\d+%|\d+/\d+)\] (.*)")  # of make, and of ninja
_WIDTH = 100


class BuildProgress:
    """Shows the latest step that CMake's tools have told of, with the time since the start.

    Args:
        stream: where to write, usually `sys.stderr`. In a file or pipe there is a line every ten seconds.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._on_terminal = stream, stream.isatty()
        self._step = "configuring"
        self._start = self._shown = time.monotonic()

    def take(self, line: str) -> None:
        """Take a line of a tool; those that tell of no step are passed over."""
        if (step := _STEP.match(line)) is not None:
            self._step = f"{step[1]} {step[2].rpartition('CMakeFiles/')[2] or step[2]}"[:_WIDTH]

    def show(self) -> None:
        """Show the step, where the last time is some while ago."""
        now = time.monotonic()
        if now - self._shown >= (_REDRAW_SECONDS if self._on_terminal else _LINE_SECONDS):
            self._shown = now
            line = f"compiling  {now - self._start:.0f} s  {self._step}"
            self._write(f"\r\033[K{line}" if self._on_terminal else f"{line}\n")

    def close(self) -> None:
        """Clear the line."""
        if self._on_terminal:
            self._write("\r\033[K")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # a closed terminal is no reason to stop
            self._stream.write(text)
            self._stream.flush()
