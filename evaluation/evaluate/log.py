"""Results of an evaluation, written image by image, so that an interrupted one goes on where it stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from maskrt.evaluation.metrics.predict import ImageResult
from maskrt.json_log import JsonLog

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
        self._log = JsonLog(path, ImageResult._fields)
        header = {"format": _FORMAT, "key": key}
        if self._log.header == header:
            self.seconds = {content["image_id"]: content["seconds"] for _, content in self._log.entries()}
            return
        old = (self._log.header or {}).get("key")
        if isinstance(old, dict):
            self.started_anew = [name for name in {**key, **old} if key.get(name) != old.get(name)]
        self._log.begin(header)

    def __enter__(self) -> ResultsLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._log.close()

    def append(self, result: ImageResult) -> None:
        """Add the results of one image; they are in the file when this returns."""
        self._log.append(result._asdict())
        self.seconds[result.image_id] = result.seconds

    def records(self) -> Iterator[dict[str, Any]]:
        """Read the COCO records of all images."""
        for _, content in self._log.entries():
            yield from content["records"]
