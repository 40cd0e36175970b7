"""Writing files that belong together so that a full disk or an interrupt leaves all the old ones, or none."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from maskrt.engines.errors import EngineError
from maskrt.files import replacing

_BLOCK = 16 << 20


def write_together(files: Mapping[Path, bytes | memoryview]) -> None:
    """Write files that belong together: each is complete on the disk before the first takes its name.

    Raises:
        EngineError: there is no room, or a file cannot be written. No file is changed then.
    """
    try:
        with contextlib.ExitStack() as stack:
            # In reverse, so that the first of the files is the first that takes its name.
            unfinished = {path: stack.enter_context(replacing(path)) for path in reversed(list(files))}
            for path, data in files.items():
                _write(unfinished[path], data)
    except OSError as error:
        first = next(iter(files))
        raise EngineError(_explain(error, first, sum(len(data) for data in files.values()))) from error


def _write(path: Path, data: bytes | memoryview) -> None:
    view = memoryview(data).cast("B")
    with path.open("wb") as file:
        for start in range(0, len(view), _BLOCK):
            file.write(view[start : start + _BLOCK])
        file.flush()
        os.fsync(file.fileno())


def _explain(error: OSError, path: Path, size: int) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(path.parent).free
        return (
            f"No room for {path}: it needs {size / 1e6:.1f} MB, but {path.parent} has {free / 1e6:.1f} MB free. "
            "Free some, or choose another --output. Nothing was left behind."
        )
    return f"Cannot write {path}: {error.strerror or error}."
