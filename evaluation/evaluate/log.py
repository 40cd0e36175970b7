"""Results of an evaluation, written image by image, so that an interrupted one goes on where it stopped.

A file of JSON lines: the first says what the results depend on, each other one holds the results of one image. A line
that an interrupt cut short is dropped when the file is opened again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from maskrt.errors import ArgumentError
from maskrt.evaluation.metrics.predict import ImageResult

_FORMAT = 1


class ResultsLog:
    """The results so far; a context manager that keeps the file open for more.

    Args:
        path: the file; made if it is missing, made anew if its results depend on something else.
        key: what the results depend on, JSON values.

    Attributes:
        path: the file.
        seconds: image id → seconds, of the images that are done.
        started_anew: which entries of the key differ from those of the results that were thrown away; empty if none
            were.

    Raises:
        OSError: the file cannot be read or written.
        ArgumentError: another process writes to it.
    """

    def __init__(self, path: Path, key: dict[str, Any]) -> None:
        self.path = path
        self.seconds: dict[int, float] = {}
        self.started_anew: list[str] = []
        header = {"format": _FORMAT, "key": key}
        lines = _whole_lines(path)
        self._file = path.open("a+b")
        self._lock()
        size, found = next(lines, (0, {}))
        if found == header:
            for end, content in lines:
                if not content.keys() >= {"image_id", "seconds", "records"}:
                    break
                size = end
                self.seconds[content["image_id"]] = content["seconds"]
        else:
            size, old = 0, found.get("key")
            if isinstance(old, dict):
                self.started_anew = [name for name in {**key, **old} if key.get(name) != old.get(name)]
        self._file.truncate(size)
        if not size:
            self._write(header)

    def __enter__(self) -> ResultsLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, result: ImageResult) -> None:
        """Add the results of one image; they are in the file when this returns."""
        self._write(result._asdict())
        self.seconds[result.image_id] = result.seconds

    def records(self) -> Iterator[dict[str, Any]]:
        """Read the COCO records of all images."""
        for _, content in _whole_lines(self.path):
            yield from content.get("records", [])

    def _lock(self) -> None:
        """Lock the file until it is closed. Two that write would cut each other's results short."""
        if sys.platform == "win32":
            return  # no fcntl
        import fcntl

        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise ArgumentError(
                f"Another run writes to {self.path} at this moment. Wait for it, or give this one another --output."
            ) from None

    def _write(self, content: dict[str, Any]) -> None:
        self._file.write(json.dumps(content, ensure_ascii=False).encode() + b"\n")
        self._file.flush()


def _whole_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read each line and where it ends, up to the first that is cut short or damaged."""
    if not path.exists():
        return
    end = 0
    with path.open("rb") as file:
        for line in file:
            end += len(line)
            try:
                content = json.loads(line)
            except ValueError:
                return
            if not line.endswith(b"\n") or not isinstance(content, dict):
                return
            yield end, content
