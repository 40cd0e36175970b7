"""A progress bar on a terminal, lines elsewhere."""

import contextlib
import time
from typing import TextIO

from maskrt.terminal import printable

_WIDTH = 30


class Progress:
    """Shows how far a run over many images has come.

    Args:
        total: the number of images; None if nobody knows.
        stream: where to write, usually `sys.stderr`. On a terminal a bar is redrawn in place; in a file or
            pipe the images get lines.
        unit: what to call them.
    """

    def __init__(self, total: int | None, stream: TextIO, unit: str = "images") -> None:
        self._total = total
        self._stream = stream
        self._unit = unit
        self._on_terminal = stream.isatty()
        self._done = 0
        self._start = time.perf_counter()

    def step(self, message: str | None) -> None:
        """Count one more image; `message` says how it went, in a file or pipe. None: no line for this one."""
        self._done += 1
        if self._on_terminal:
            self._draw_bar()
        elif message is not None:
            count = self._done if self._total is None else f"{self._done}/{self._total}"
            self._write(f"[{count}] {printable(message)}\n")

    def fail(self, message: str) -> None:
        """Count one more image, which failed; `message` is always shown."""
        if self._on_terminal:
            self._write(f"\r\033[K{printable(message)}\n")
        self.step(message)

    def close(self) -> None:
        """Clear the bar."""
        if self._on_terminal:
            self._write("\r\033[K")

    def _draw_bar(self) -> None:
        rate = self._done / max(time.perf_counter() - self._start, 1e-9)
        if self._total is None:
            bar, left = str(self._done), ""
        else:
            filled = _WIDTH * min(self._done, self._total) // self._total
            bar = f"{'━' * filled}{'─' * (_WIDTH - filled)} {self._done}/{self._total}"
            left = f"  {max(self._total - self._done, 0) / rate:.0f} s left"
        self._write(f"\r\033[K{bar}  {rate:.1f} {self._unit}/s{left}")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a terminal that was closed, a pipe that nobody reads
            self._stream.write(text)
            self._stream.flush()


def count(number: int, noun: str) -> str:
    """Write `1 image`, `2 images`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
