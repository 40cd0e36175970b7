"""A progress bar on a terminal, a line per image elsewhere."""

import time
from typing import TextIO

_WIDTH = 30


class Progress:
    """Shows how far a run over many images has come.

    Args:
        total: the number of images.
        stream: where to write, usually `sys.stderr`. On a terminal a bar is redrawn in place; in a file or
            pipe every image gets a line.
    """

    def __init__(self, total: int, stream: TextIO) -> None:
        self._total = total
        self._stream = stream
        self._on_terminal = stream.isatty()
        self._done = 0
        self._start = time.perf_counter()

    def step(self, message: str) -> None:
        """One more image is done; `message` says how, in a file or pipe."""
        self._done += 1
        if self._on_terminal:
            self._draw_bar()
        else:
            self._stream.write(f"[{self._done}/{self._total}] {message}\n")
            self._stream.flush()

    def fail(self, message: str) -> None:
        """One more image is done, but failed; `message` is always shown."""
        if self._on_terminal:
            self._stream.write(f"\r\033[K{message}\n")
        self.step(message)

    def close(self) -> None:
        """Clear the bar."""
        if self._on_terminal:
            self._stream.write("\r\033[K")
            self._stream.flush()

    def _draw_bar(self) -> None:
        filled = _WIDTH * self._done // self._total
        rate = self._done / max(time.perf_counter() - self._start, 1e-9)
        left = (self._total - self._done) / rate
        self._stream.write(
            f"\r\033[K{'━' * filled}{'─' * (_WIDTH - filled)} {self._done}/{self._total}  "
            f"{rate:.1f} images/s  {left:.0f} s left"
        )
        self._stream.flush()
