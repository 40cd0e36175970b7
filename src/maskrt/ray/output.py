"""The folder of the results: a file for each block of pictures, written whole, and what a run goes on from."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskrt.contract.metadata import load_json
from maskrt.errors import ArgumentError, MaskrtError
from maskrt.files import lock, remove_stale, write_in_one_step
from maskrt.ray.rows import Row, import_arrow, name_of, to_lines, to_table

FORMATS = ("parquet", "jsonl")
RUN = "run.json"
"""What the results depend on."""


class Output:
    """The folder, which one run at a time works on.

    Args:
        folder: is made if it is not there.
        form: one of `FORMATS`.
        about: what the results depend on, as JSON values; a run goes on only with the same.
        resume: go on with what is there.

    Raises:
        ArgumentError: it has results, and is not to be gone on with, or those of other settings; or another run works
            on it.
        MaskrtError: it cannot be written.
        DependencyError: pyarrow is not installed, which Parquet needs.
    """

    def __init__(self, folder: Path, form: str, about: Mapping[str, Any], *, resume: bool) -> None:
        if form == "parquet":
            import_arrow()
        self.folder, self._form = folder, form
        try:
            folder.mkdir(parents=True, exist_ok=True)
            remove_stale(folder)
            self._descriptor = os.open(folder / RUN, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise self._cannot_write(error) from None
        try:
            self._parts = self._open({"format": form, **about}, resume)
        except BaseException:
            self.close()
            raise
        self._next = 1 + max((int(re.findall(r"\d+", path.name)[0]) for path in self._parts), default=-1)

    def _open(self, about: Mapping[str, Any], resume: bool) -> list[Path]:
        """Lock the folder, and return the parts that are there, if they go with this run."""
        folder = self.folder
        try:
            lock(self._descriptor)
            found = (folder / RUN).read_bytes()
            parts = sorted(path for path in folder.iterdir() if re.fullmatch(r"part-\d+\.(parquet|jsonl)", path.name))
        except BlockingIOError:
            raise ArgumentError(f"Another run writes to {folder}. Wait for it, or choose another --output.") from None
        except OSError as error:
            raise self._cannot_write(error) from None
        text = json.dumps(about, indent=1).encode()
        if parts:
            self._check(found, text, resume)
        else:
            try:  # in place: it is what is locked
                os.ftruncate(self._descriptor, 0)
                os.pwrite(self._descriptor, text, 0)
            except OSError as error:
                raise self._cannot_write(error) from None
        return parts

    def done(self) -> set[str]:
        """Return the names of the pictures that have a row.

        Raises:
            MaskrtError: a file cannot be read.
        """
        names = set[str]()
        for part in self._parts:
            try:
                names |= self._names(part)
            except Exception as error:  # each library has its own
                raise MaskrtError(f"{part} is damaged: {error}. Remove it: its pictures are done again.") from None
        return names

    def next_number(self) -> int:
        """Return the number of another part."""
        self._next += 1
        return self._next - 1

    def write(self, number: int, rows: Sequence[Row]) -> None:
        """Write a part, whole or not at all.

        Raises:
            MaskrtError: it cannot be written.
        """
        if self._form == "jsonl":
            content = to_lines(rows)
        else:
            import pyarrow.parquet

            buffer = import_arrow().BufferOutputStream()
            pyarrow.parquet.write_table(to_table(rows), buffer)
            content = buffer.getvalue().to_pybytes()
        try:
            write_in_one_step(self.folder / f"part-{number:06d}.{self._form}", content)
        except OSError as error:
            raise self._cannot_write(error) from None

    def close(self) -> None:
        """Let others work on the folder."""
        os.close(self._descriptor)

    def _check(self, found: bytes, wanted: bytes, resume: bool) -> None:
        try:
            before = load_json(found)
        except ValueError:
            before = None
        if not resume:
            raise ArgumentError(f"{self.folder} has results already. --resume goes on; or choose another --output.")
        if before != json.loads(wanted):
            raise ArgumentError(
                f"{self.folder} has results of another model or of other settings ({RUN} says which). Give the same, "
                "or choose another --output."
            )

    def _names(self, part: Path) -> set[str]:
        if self._form == "jsonl":
            return {json.loads(line)["file_name"] for line in part.read_bytes().splitlines()}
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(part, columns=["file_name"])
        return set(table.column("file_name").to_pylist())

    def _cannot_write(self, error: OSError) -> MaskrtError:
        return MaskrtError(f"{self.folder} cannot be written: {error.strerror or error}.")


def left_over(files: Sequence[Path], done: set[str]) -> list[str]:
    """Return the paths that have no row yet."""
    return [path for path in map(str, files) if name_of(path) not in done]
