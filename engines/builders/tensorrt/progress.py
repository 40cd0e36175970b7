"""How far the builder has come: a line redrawn on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import time
from types import ModuleType
from typing import Any, TextIO

_REDRAW_SECONDS = 0.2
_LINE_SECONDS = 10.0


class BuildProgress:
    """Follows the builder's phases and shows the innermost one that has steps, with the time since the start.

    Args:
        title: what is being built.
        stream: where to write, usually `sys.stderr`. In a file or pipe there is a line every ten seconds.
    """

    def __init__(self, title: str, stream: TextIO) -> None:
        self.cancelled = False
        self._title = title
        self._stream = stream
        self._on_terminal = stream.isatty()
        self._phases: dict[str, tuple[int, int]] = {}  # name → steps done, steps in all; innermost last
        self._start = time.perf_counter()
        self._shown = self._start if not self._on_terminal else 0.0

    def phase_start(self, name: str, parent: str | None, steps: int) -> None:
        """Begin a phase of so many steps."""
        self._phases[name] = (0, steps)
        self._show()

    def step_complete(self, name: str, step: int) -> bool:
        """Take note of a step, counted from 0, that is done. False asks the builder to stop."""
        steps = self._phases.get(name, (0, 0))[1]
        self._phases[name] = (step + 1, steps)
        self._show()
        return not self.cancelled

    def phase_finish(self, name: str) -> None:
        """End a phase."""
        self._phases.pop(name, None)

    def close(self) -> None:
        """Clear the line."""
        if self._on_terminal:
            self._write("\r\033[K")

    def _show(self) -> None:
        now = time.perf_counter()
        if now - self._shown < (_REDRAW_SECONDS if self._on_terminal else _LINE_SECONDS):
            return
        self._shown = now
        name, (done, steps) = list(self._phases.items())[-1]
        line = f"{self._title}  {now - self._start:.0f} s  {name} {done}/{steps}"
        self._write(f"\r\033[K{line}" if self._on_terminal else f"{line}\n")

    def _write(self, text: str) -> None:
        # TensorRT calls from C++, where an exception would end the process; a closed terminal must not.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()


def builder_monitor(trt: ModuleType, progress: BuildProgress) -> Any:
    """Return a `trt.IProgressMonitor` that reports to `progress`."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[name-defined]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            progress.phase_start(name, parent, steps)

        def phase_finish(self, name: str) -> None:
            progress.phase_finish(name)

        def step_complete(self, name: str, step: int) -> bool:
            return progress.step_complete(name, step)

    return Monitor()
