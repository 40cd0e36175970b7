"""Files opened for reading by position: only regular files, and never beyond the end of what was declared."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from maskrt.errors import MaskrtError
from maskrt.export.checkpoints.errors import CheckpointError, Damaged

_CHUNK = 1 << 24


def open_regular(path: Path, what: str, error: type[MaskrtError] = CheckpointError) -> BinaryIO:
    """Open a regular file for reading; FIFOs and devices, which may never end, are refused before they are opened.

    Args:
        path: the file.
        what: its role in the messages, for example "checkpoint".
        error: what to raise.

    Raises:
        MaskrtError: of the type `error`: there is no such file, it is none, it is empty, or it cannot be read.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise error(f"Cannot read the {what} {path}: it is a folder. Give the file itself.")
        if not stat.S_ISREG(status.st_mode):
            raise error(f"Cannot read the {what} {path}: it is no regular file, but a pipe, a socket or a device.")
        if status.st_size == 0:
            raise error(f"Cannot read the {what} {path}: it is empty. Copy or download it again.")
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        raise error(f"There is no {what} {path}.") from None
    except (OSError, ValueError) as problem:  # ValueError: a null character in the name
        reason = problem.strerror if isinstance(problem, OSError) else problem
        raise error(f"Cannot read the {what} {path}: {reason}.") from problem


class Window:
    """A part of an open file, read from its beginning to its end.

    Attributes:
        file: shared with other windows, so its position is set before a window is read.
        position, end: in the file, in bytes.
    """

    def __init__(self, file: BinaryIO, position: int = 0, length: int | None = None) -> None:
        """Take `length` bytes from `position`; by default all that follow."""
        size = file.seek(0, os.SEEK_END)
        self.file = file
        self.position = position
        self.end = size if length is None else position + length
        if not 0 <= position <= self.end <= size:
            raise Damaged("it ends too early")
        self.rewind()

    def rewind(self) -> None:
        """Set the file to where this window stands, after another one has been read."""
        self.file.seek(self.position)

    def read(self, count: int) -> bytes:
        """Return the next `count` bytes, all of them.

        Raises:
            Damaged: there are not as many.
        """
        self._advance(count)
        data = self.file.read(count)
        if len(data) != count:
            raise Damaged("it ends too early")
        return data

    def skip(self, count: int) -> int:
        """Pass over `count` bytes; returns where they begin."""
        start = self.position
        self._advance(count)
        self.file.seek(self.position)
        return start

    def readline(self) -> bytes:
        """Return the next bytes up to a line feed, without it."""
        line = self.file.readline(self.end - self.position)
        if not line.endswith(b"\n"):
            raise Damaged("it ends within a line")
        self.position += len(line)
        return line[:-1]

    def _advance(self, count: int) -> None:
        if count < 0 or count > self.end - self.position:
            raise Damaged(f"it declares {count} bytes where {self.end - self.position} are left")
        self.position += count


def read_into(file: BinaryIO, position: int, target: memoryview) -> None:
    """Fill `target` with the bytes at `position`, a piece at a time.

    Raises:
        Damaged: the file ends before.
    """
    file.seek(position)
    for start in range(0, len(target), _CHUNK):
        piece = target[start : start + _CHUNK]
        data = file.read(len(piece))
        if len(data) != len(piece):
            raise Damaged("it ends too early")
        piece[:] = data
