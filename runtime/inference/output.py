"""The folder of the results: that it can be written, and that nothing of the user's is in the way."""

from collections.abc import Iterable
from pathlib import Path

from maskrt.errors import ArgumentError
from maskrt.files import check_writable, remove_stale, write_in_one_step


def make_writable(folder: Path) -> None:
    """Make a folder, try to write there, and remove what killed runs have left unfinished.

    Raises:
        ArgumentError: nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_stale(folder)
        write_in_one_step(folder / ".maskrt", b"")
        (folder / ".maskrt").unlink()
    except OSError as error:
        raise ArgumentError(
            f"The output folder {folder} cannot be written: {error.strerror or error}. Choose another with --output."
        ) from None


def check_apart(inputs: Iterable[Path], outputs: Iterable[Path], folders: Iterable[Path]) -> None:
    """Check that the results can be written, and that none of them would take the place of an input.

    Args:
        inputs: files that are read: images, videos, the model.
        outputs: files that are written.
        folders: that pictures are written to.

    Raises:
        ArgumentError: one would, or a result is a folder, a pipe or a device.
    """
    inputs, there = list(inputs), [path for path in outputs if path.exists()]
    for path in there:
        check_writable(path)
    replaced: list[Path] = []
    if there:
        taken = {identity for identity in map(_identity, there) if identity is not None}
        replaced = [given for given in inputs if _identity(given) in taken]
    parents = {given.parent: given for given in inputs}  # few, where the inputs are many
    taken_folders = {folder.resolve() for folder in folders}
    replaced += [
        given for parent, given in parents.items() if taken_folders & {parent.resolve(), *parent.resolve().parents}
    ]
    if replaced:
        raise ArgumentError(f"{replaced[0]} lies where the results go, and would be replaced. Choose another --output.")


def _identity(path: Path) -> tuple[int, int] | None:
    """Tell a file, whatever links lead to it."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
