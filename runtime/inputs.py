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
            found = [Path(match) for match in matches if Path(match).is_file()]
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
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


def unique_names(files: Sequence[Path], suffix: str) -> list[str]:
    """A file name for each file's result: its stem and `suffix`, numbered where two would share one.

    Names are compared without case, since some file systems do so.
    """
    taken: set[str] = set()
    names = []
    for file in files:
        name, number = f"{file.stem}{suffix}", 1
        while name.lower() in taken:
            number += 1
            name = f"{file.stem}_{number}{suffix}"
        taken.add(name.lower())
        names.append(name)
    return names
