"""From command-line arguments to the image files they mean."""

import glob
from collections.abc import Sequence
from pathlib import Path

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"})


def find_images(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Expand files, folders and globs, in the order given.

    A folder stands for the image files in it and its subfolders (told by their suffix), sorted. A name that
    does not exist but has wildcards is a glob (`**` crosses folders). Anything else is taken as a file, so
    that reading it says what is wrong with it. A file that comes up twice is taken once.

    Returns:
        The files, and a sentence for each folder or glob that holds no image.
    """
    files: list[Path] = []
    problems = []
    for argument in arguments:
        path = Path(argument)
        if _exists(path) and path.is_dir():
            found = _images_below(path)
            if not found:
                problems.append(f"{path}: there is no image in this folder.")
        elif not _exists(path) and glob.has_magic(argument):
            # Path.glob takes no absolute patterns.
            matches = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207
            found = [Path(match) for match in matches if _is_file(Path(match))]
            if not found:
                problems.append(f"{argument}: no file matches.")
        else:
            found = [path]
        files += found
    return list(dict.fromkeys(files)), problems


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # e.g. a name that is too long for the file system
        return False


def _images_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and _is_file(path))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # e.g. no permission to look: reading it will say so
        return True


def unique_stems(stems: Sequence[str]) -> list[str]:
    """The stems of the result files of inputs with these stems: the same, numbered where two would be equal.

    They are compared without case, since some file systems do so.
    """
    taken: set[str] = set()
    last_numbers: dict[str, int] = {}
    result = []
    for stem in stems:
        unique, number = stem, last_numbers.get(stem.lower(), 1)
        while unique.lower() in taken:
            number += 1
            unique = f"{stem}_{number}"
        last_numbers[stem.lower()] = number
        taken.add(unique.lower())
        result.append(unique)
    return result
