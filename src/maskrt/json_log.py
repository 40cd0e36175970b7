"""JSON lines that grow while a run goes on, so that one that was killed goes on where it stopped.

The first line says what the others depend on. A line that was cut short is dropped when the file is opened again.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from maskrt.errors import ArgumentError
from maskrt.files import check_writable, lock


class JsonLog:
    """A file of JSON lines, open for more, which no other process can write to.

    Args:
        path: of the file, made if it is missing.
        keys: that each line behind the header has.

    Attributes:
        path: of the file.
        header: its first line; None for a new file, or one that is none of ours.

    Raises:
        OSError: the file cannot be read or written.
        ArgumentError: another process writes to it, or it is no regular file.
    """

    def __init__(self, path: Path, keys: Collection[str]) -> None:
        if path.exists():
            check_writable(path)
        self.path = path
        self._keys = set(keys)
        self._file = path.open("a+b")
        self._lock()
        self.header, self._begin = self._first_line()
        self._end = self._begin
        for offset, length, _ in self._lines():
            self._end = offset + length

    def begin(self, header: Mapping[str, Any]) -> None:
        """Throw away what there is, and begin anew.

        Raises:
            OSError: the file cannot be written.
        """
        self._file.truncate(0)
        self._end = 0
        self.append(header)
        self.header, self._begin = dict(header), self._end

    def append(self, content: Mapping[str, Any]) -> None:
        """Add a line; it is in the file when this returns, or nothing of it.

        Raises:
            OSError: the file cannot be written.
        """
        # Half of a character, as a damaged class name may hold, becomes an escape that JSON knows.
        line = json.dumps(content, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
        self._file.truncate(self._end)  # what was cut short
        try:
            self._file.write(line)
            self._file.flush()
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(self._end)
            raise
        self._end += len(line)

    def entries(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield each line behind the header, and where it lies."""
        for offset, _, content in self._lines():
            yield offset, content

    def entry(self, offset: int) -> dict[str, Any]:
        """Read the line that lies at an offset of `entries`."""
        with self.path.open("rb") as file:
            file.seek(offset)
            return json.loads(file.readline())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _first_line(self) -> tuple[dict[str, Any] | None, int]:
        with self.path.open("rb") as file:
            line = file.readline()
        content = _whole(line)
        return content, 0 if content is None else len(line)

    def _lines(self) -> Iterator[tuple[int, int, dict[str, Any]]]:
        """Yield offset, length and content, up to the first line that is cut short or damaged."""
        offset = self._begin
        with self.path.open("rb") as file:
            file.seek(offset)
            for line in file:
                content = _whole(line)
                if content is None or not content.keys() >= self._keys:
                    return
                yield offset, len(line), content
                offset += len(line)

    def _lock(self) -> None:
        """Lock the file until it is closed. Two that write would cut each other's lines short."""
        try:
            lock(self._file.fileno())
        except BlockingIOError:
            self._file.close()
            raise ArgumentError(
                f"Another run writes to {self.path} at this moment. Wait for it, or give this one another --output."
            ) from None


def _whole(line: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(line)
    except ValueError:
        return None
    return content if line.endswith(b"\n") and isinstance(content, dict) else None
