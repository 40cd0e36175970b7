"""Writing files so that an interrupt or a full disk leaves the old file or the new one, never half of one."""

import os
from pathlib import Path

from maskrt.errors import ArgumentError


def check_writable(path: Path) -> None:
    """Check that a file can be written at `path`, before hours of work end in an error.

    Raises:
        ArgumentError: its folder does not exist or cannot be written to, or `path` is a folder.
    """
    if path.is_dir():
        raise ArgumentError(f"Cannot write {path}: it is a folder. Give the name of a file.")
    if not path.parent.is_dir():
        raise ArgumentError(f"Cannot write {path}: there is no folder {path.parent}. Make it, or choose another.")
    if not os.access(path.parent, os.W_OK):
        raise ArgumentError(f"Cannot write {path}: no permission to write in {path.parent}. Choose another folder.")


def write_in_one_step(path: Path, content: bytes) -> None:
    """Write a file so that at any moment it is the old one or the new one, whole.

    Raises:
        OSError: the file cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
