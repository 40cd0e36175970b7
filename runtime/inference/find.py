"""From arguments to image files and videos; what a folder holds besides is told."""

import glob
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from maskrt.errors import ImageError
from maskrt.runtime.images.header import OTHER_FORMATS
from maskrt.runtime.images.read import check_file
from maskrt.runtime.inference.progress import count
from maskrt.runtime.video.reader import VIDEO_SUFFIXES, is_stream, is_video

IMAGE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp"),
        *(".png", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif"),
    )
)
"""Of files that are taken from a folder."""


class Found(NamedTuple):
    """What arguments mean.

    Attributes:
        files: in the order given, each once.
        problems: a sentence for each argument that holds nothing, and for pictures that cannot be read here.
        skipped: a sentence for each folder with files that are none of those that were looked for.
    """

    files: list[Path]
    problems: list[str]
    skipped: list[str]


class Inputs(NamedTuple):
    """Image files, videos (files, streams and cameras), and sentences as in `Found`."""

    images: list[Path]
    videos: list[str]
    problems: list[str]
    skipped: list[str]


def find_images(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Expand files, folders and globs to image files, in the order given.

    A folder stands for the image files in it and its subfolders (told by their suffix), sorted. A name that
    does not exist but has wildcards is a glob (`**` crosses folders). Anything else is taken as a file, so
    that reading it says what is wrong with it. A file that comes up twice is taken once.

    Returns:
        The files, and a sentence for each folder or glob that holds no image.
    """
    found = _find(arguments, IMAGE_SUFFIXES)
    return found.files, found.problems


def find_inputs(arguments: Sequence[str]) -> Inputs:
    """Expand files, folders and globs as `find_images` does, with the videos in folders; tell images from videos."""
    found = _find([argument for argument in arguments if not is_stream(argument)], IMAGE_SUFFIXES | VIDEO_SUFFIXES)
    files, problems = [], list(found.problems)
    for file in found.files:
        try:
            check_file(file)
            files.append(file)
        except ImageError as error:
            problems.append(str(error))
    videos = [file for file in files if is_video(file)]
    streams = [argument for argument in arguments if is_stream(argument)]
    of_videos = set(videos)
    images = [file for file in files if file not in of_videos]
    return Inputs(images, [*map(str, videos), *streams], problems, found.skipped)


def _find(arguments: Sequence[str], suffixes: frozenset[str]) -> Found:
    files: list[Path] = []
    problems: list[str] = []
    skipped: list[str] = []
    for argument in arguments:
        path = Path(argument)
        if _exists(path) and path.is_dir():
            found, others = _files_below(path, suffixes)
            unread = _unread_pictures(path, others)
            if not found and not unread:
                problems.append(f"{path}: there is no image in this folder.")
            problems += unread
            if rest := [other for other in others if other.suffix.lower() not in OTHER_FORMATS]:
                skipped.append(f"{path}: {_passed_over(rest)}.")
        elif not _exists(path) and glob.has_magic(argument):
            # Path.glob takes no absolute patterns.
            matches = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207
            found = [Path(match) for match in matches if _is_file(Path(match))]
            if not found:
                problems.append(f"{argument}: no file matches.")
        else:
            found = [path]
        files += found
    return Found(list(dict.fromkeys(files)), problems, skipped)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long for the file system, or with a null character
        return False


def _files_below(folder: Path, suffixes: frozenset[str]) -> tuple[list[Path], list[Path]]:
    """Find the files with these suffixes, and the others; both sorted."""
    files = sorted(path for path in folder.rglob("*") if _is_file(path))
    wanted = [path.suffix.lower() in suffixes for path in files]
    return (
        [path for path, is_wanted in zip(files, wanted, strict=True) if is_wanted],
        [path for path, is_wanted in zip(files, wanted, strict=True) if not is_wanted],
    )


def _unread_pictures(folder: Path, others: Sequence[Path]) -> list[str]:
    """Name the pictures that cannot be read here, a sentence for each format."""
    problems = []
    for suffix, form in OTHER_FORMATS.items():
        of_format = [path for path in others if path.suffix.lower() == suffix]
        if of_format:
            number = f"{count(len(of_format), 'picture')} in {suffix}"
            problems.append(f"{folder}: {number} cannot be read here, {of_format[0]} for one. {form.remedy}.")
    return problems


def _passed_over(others: Sequence[Path]) -> str:
    kinds = Counter(path.suffix.lower() or "no suffix" for path in others)
    shown = ", ".join(f"{number} with {kind}" for kind, number in kinds.most_common(5))
    more = ", …" if len(kinds) > 5 else ""
    return f"{count(len(others), 'other file')} passed over ({shown}{more})"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # e.g. no permission to look: reading it will say so
        return True
