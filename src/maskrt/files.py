"""Files in and out: regular ones only, and never half a file.

What is read may be a pipe or a device, which never ends; what is written may be an input of the same run, or a device
that would be replaced. An interrupt or a full disk leaves the old file or the new one, whole.
"""

import contextlib
import itertools
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from maskrt.errors import ArgumentError, MaskrtError

_PREFIX, _SUFFIX = ".maskrt-", ".tmp"  # short, so that a name of 255 bytes, the longest, can be written too
_numbers = itertools.count()


def check_writable(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Check that a file can be written at `path`, before hours of work end in an error.

    Args:
        path: of the file.
        inputs: files that are read in the same run.

    Raises:
        ArgumentError: its folder does not exist or cannot be written to, or `path` is a folder, a device, or an input.
    """
    if path.is_dir():
        raise ArgumentError(f"Cannot write {path}: it is a folder. Give the name of a file.")
    check_replaceable(path)
    if not path.parent.is_dir():
        raise ArgumentError(f"Cannot write {path}: there is no folder {path.parent}. Make it, or choose another.")
    if not os.access(path.parent, os.W_OK):
        raise ArgumentError(f"Cannot write {path}: no permission to write in {path.parent}. Choose another folder.")
    for given in inputs:
        if is_same_file(path, given):
            raise ArgumentError(f"Cannot write {path}: it is an input of this run. Choose another name.")


def check_replaceable(path: Path) -> None:
    """Check that `path` is a new name, or one of a regular file or a folder.

    Raises:
        ArgumentError: it is a device, a pipe or a socket.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # a new name, or one that the writing will complain about
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ArgumentError(
            f"Cannot write {path}: it is no regular file, but a pipe, a socket or a device. Give the name of a file."
        )


def is_same_file(one: Path, other: Path) -> bool:
    """Tell whether two paths lead to one file, by whatever links; False where one of them does not exist."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return False


def check_regular(path: Path, what: str, error: type[MaskrtError] = MaskrtError) -> None:
    """Check that `path` can be read as a file, without opening it: a pipe would wait for ever, a device has no end.

    Args:
        path: of the file.
        what: its role, for the message: "class names", "data set".
        error: what to raise.

    Raises:
        MaskrtError: of the type `error`: there is no such file, or it is none.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise error(f"Cannot read the {what} {path}: there is no such file.") from None
    except (OSError, ValueError) as problem:  # ValueError: a null character in the name
        raise error(f"Cannot read the {what} {path}: {getattr(problem, 'strerror', None) or problem}.") from None
    if stat.S_ISDIR(mode):
        raise error(f"Cannot read the {what} {path}: it is a folder. Give the file itself.")
    if not stat.S_ISREG(mode):
        raise error(f"Cannot read the {what} {path}: it is no regular file, but a pipe, a socket or a device.")


def read_text_file(path: Path, what: str, error: type[MaskrtError] = MaskrtError) -> str:
    """Read a regular file of text in UTF-8; a byte order mark, which some editors put in front, is no part of it.

    Raises:
        MaskrtError: of the type `error`: it cannot be read, or is no text.
    """
    check_regular(path, what, error)
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as problem:
        raise error(f"Cannot read the {what} {path}: {problem.strerror or problem}.") from None
    except UnicodeDecodeError:
        raise error(f"Cannot read the {what} {path}: expected text in UTF-8.") from None


def write_in_one_step(path: Path, content: bytes) -> None:
    """Write a file so that at any moment it is the old one or the new one, whole.

    Raises:
        ArgumentError: `path` is a device, a pipe or a socket.
        OSError: the file cannot be written.
    """
    with replacing(path) as unfinished:
        unfinished.write_bytes(content)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a new, empty file beside `path` that takes its place where the block ends well, and else is removed.

    Raises:
        ArgumentError: `path` is a device, a pipe or a socket.
        OSError: it cannot be written there.
    """
    check_replaceable(path)
    unfinished, lock = _temporary(path.parent, _new_file)
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
        os.close(lock)


@contextlib.contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Give a new, empty folder in `parent` that is removed with what is in it; see `remove_stale`.

    Raises:
        OSError: it cannot be made there.
    """
    folder, lock = _temporary(parent, _new_folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_stale(folder: Path) -> None:
    """Remove the files and folders that killed runs have left in a folder; those of runs at work are locked."""
    for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            access = os.O_RDONLY if path.is_dir() else os.O_RDWR
            descriptor = os.open(path, access | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if not lock(descriptor):
                    continue
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            finally:
                os.close(descriptor)


def lock(descriptor: int) -> bool:
    """Lock an open file until it is closed, at the latest when the process ends, however it does.

    Returns:
        False where there are no locks: on Windows, and on some file systems.

    Raises:
        BlockingIOError: another one has locked it.
    """
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def _new_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)


def _new_folder(path: Path) -> int:
    path.mkdir()
    return os.open(path, os.O_RDONLY)


def _temporary(folder: Path, make: Callable[[Path], int]) -> tuple[Path, int]:
    """Make a new file or folder, locked as long as the descriptor is open.

    Returns:
        Its path, and the descriptor.
    """
    while True:
        path = folder / f"{_PREFIX}{os.getpid()}-{next(_numbers)}{_SUFFIX}"
        try:
            descriptor = make(path)
        except FileExistsError:  # of a killed run that had our number, as the first process of a container has
            continue
        with contextlib.suppress(BlockingIOError):
            lock(descriptor)
        if path.exists():  # else a run that begins has taken it for stale before it was locked
            return path, descriptor
        os.close(descriptor)
