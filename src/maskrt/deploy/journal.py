"""Which steps are done: what each was started with, and the sums of what it read and wrote. `deploy.json`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import maskrt
from maskrt.deploy.plan import Step
from maskrt.files import write_in_one_step

FILE = "deploy.json"
FORMAT = 1
_BLOCK = 1 << 20


class Journal:
    """The file in a folder; one that is damaged, or of another maskrt, is as if it were not there."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._done: dict[str, Any] = {}
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        if isinstance(content, Mapping) and content.get("format") == FORMAT and isinstance(content.get("done"), dict):
            self._done = content["done"]

    def is_done(self, step: Step) -> bool:
        """Whether a step was done with the same command and the same files, and what it wrote is still that."""
        return not step.finds_its_work and step.name in self._done and self._done[step.name] == _record(step)

    def add(self, step: Step) -> None:
        """Write down that a step is done.

        Raises:
            OSError: that cannot be written.
        """
        self._done[step.name] = _record(step)
        content = {"format": FORMAT, "done": self._done}
        write_in_one_step(self._path, json.dumps(content, indent=1).encode(errors="backslashreplace"))


def _record(step: Step) -> dict[str, Any]:
    return {
        "maskrt": maskrt.__version__,
        "words": list(step.words),
        "inputs": dict(_sums(step.inputs)),
        "outputs": dict(_sums(step.outputs)),
    }


def _sums(paths: Iterable[Path]) -> Iterator[tuple[str, str | None]]:
    """Yield each path with the sum of its content, of a folder that of names, sizes and times; None: not there."""
    for path in paths:
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file())
            facts = ((str(file), (status := file.stat()).st_size, status.st_mtime_ns) for file in files)
            yield str(path), hashlib.sha256(repr(list(facts)).encode(errors="surrogatepass")).hexdigest()
        elif path.is_file():
            sum_of_file = hashlib.sha256()
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    sum_of_file.update(block)
            yield str(path), sum_of_file.hexdigest()
        else:
            yield str(path), None
