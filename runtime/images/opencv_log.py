"""OpenCV's own log lines, which go past Python to the terminal: what they say, our errors say better."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import cv2

_lock = Lock()
_inside = 0
_before = 0


@contextmanager
def silent() -> Iterator[None]:
    """Keep OpenCV silent meanwhile, in any number of threads; the level is the process's, put back behind the last."""
    global _before, _inside
    with _lock:
        if not _inside:
            _before = cv2.utils.logging.getLogLevel()
            cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                cv2.utils.logging.setLogLevel(_before)
