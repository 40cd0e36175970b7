"""Ctrl-C, `docker stop` and a closed terminal end a command in one and the same way: by `KeyboardInterrupt`."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

# Not SIGKILL, which no program can catch; Windows has no SIGHUP.
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_IMPORT_SECONDS = 20  # that an import may keep an interruption waiting
_AGAIN_SECONDS = 0.05


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Have SIGTERM (docker stop, systemd) and SIGHUP (a closed terminal) raise `KeyboardInterrupt`, as Ctrl-C does.

    While a library is imported, the interruption waits until that is done: its C++ code calls back into Python, and an
    exception raised there ends the process with `abort()`, or is lost. A signal that the parent process had ignored, as
    `nohup` does with SIGHUP, stays ignored. Outside of the main thread nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    defaults = (signal.SIG_DFL, signal.default_int_handler)
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        if before[number] in defaults:
            signal.signal(number, _Interrupt())
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler in defaults:
                signal.signal(number, handler)


class _Interrupt:
    """Handles one of the signals."""

    def __init__(self) -> None:
        self._first: float | None = None  # when it came

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._first is None:
            self._first = time.monotonic()
        if _is_importing(frame) and time.monotonic() - self._first < _IMPORT_SECONDS:
            again = threading.Timer(_AGAIN_SECONDS, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
            return
        self._first = None
        if number != signal.SIGINT:  # systemd sends both, one behind the other: the run is ending already
            for other in set(_SIGNALS) - {signal.SIGINT}:
                signal.signal(other, _ignore)  # not SIG_IGN: one that has come already would raise OSError
        raise KeyboardInterrupt


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing."""


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
