"""The instances as a table: `instances.csv` of image files, `NAME.csv` of a video.

A row is an instance: `file` (of a video `frame` and `time`, in seconds after the first), `instance` (its number there,
from 1), `track` (of a video whose objects are followed), `label`, `class`, `score`, the box as `x`, `y`, `width`,
`height` in pixels, and `area`, the pixels of its mask; empty without masks.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from maskrt.files import replacing
from maskrt.runtime.inference.journal import Journal
from maskrt.runtime.inference.settings import TABLE, Settings
from maskrt.runtime.inference.sources import ImageFiles, PictureJob, Source, Video
from maskrt.runtime.inference.writers.base import no_more_room
from maskrt.runtime.inference.writers.frames import FrameFile
from maskrt.runtime.masks.rle import area

FILE = "instances.csv"
_COLUMNS = ("instance", "label", "class", "score", "x", "y", "width", "height", "area")


class ImageTable:
    """Writes the table of image files at the end, from the journal, which `CocoJson` writes; see `base.Writer`.

    Args:
        folder: of the table.
        journal: of this run; read before its own writer closes it.
        files: of the source, in its order.
    """

    stage = "rle"

    def __init__(self, folder: Path, journal: Journal, files: Sequence[Path]) -> None:
        self._path = folder / FILE
        self._journal = journal
        self._files = files

    def prepare(self, job: PictureJob) -> None:
        """Do nothing: the journal has it."""

    def write(self, job: PictureJob, prepared: Any) -> None:
        """Do nothing: the journal has it."""

    def close(self) -> list[str]:
        """Write the file in one step.

        Raises:
            MaskrtError: it cannot be written.
        """
        try:
            with (
                replacing(self._path) as unfinished,
                unfinished.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
            ):
                rows = csv.writer(file)
                rows.writerow(("file", *_COLUMNS))
                for _, line in self._journal.images(self._files):
                    rows.writerows((line["file_name"], *row) for row in _rows(line["instances"]))
        except OSError as error:
            raise no_more_room(self._path, error) from None
        return [f"Table: {self._path}"]


class VideoTable:
    """Writes the rows of each frame at once; see `base.Writer`.

    Args:
        file: of the video.
        tracked: whether the objects are followed.

    Raises:
        MaskrtError: the file cannot be written.
    """

    stage = "rle"

    def __init__(self, file: FrameFile, tracked: bool) -> None:
        self._file = file
        self._tracked = tracked
        first, *others = _COLUMNS
        self._append([("frame", "time", first, *(["track"] if tracked else []), *others)])

    def prepare(self, job: PictureJob) -> list[tuple[Any, ...]]:
        """Make the rows of a frame."""
        assert job.instances is not None
        records = job.instances.to_named_coco(job.source.number)
        tracks = [(record.get("track_id") or "",) if self._tracked else () for record in records]
        begin = job.source.number, round(job.source.seconds, 6)
        return [(*begin, row[0], *track, *row[1:]) for row, track in zip(_rows(records), tracks, strict=True)]

    def write(self, job: PictureJob, prepared: Iterable[tuple[Any, ...]] | None) -> None:
        """Append the rows; of a frame that failed there are none.

        Raises:
            MaskrtError: the file cannot be written.
        """
        self._append(prepared or ())

    def close(self) -> list[str]:
        """Close the file.

        Raises:
            MaskrtError: the file cannot be written.
        """
        return [f"Table: {self._file.close()}"]

    def _append(self, rows: Iterable[tuple[Any, ...]]) -> None:
        self._file.append(lambda file: csv.writer(file).writerows(rows))


def open_writer(source: Source, settings: Settings, _: tuple[str, ...]) -> ImageTable | VideoTable | None:
    """Open it where it is asked for."""
    if TABLE not in settings.formats:
        return None
    if isinstance(source, ImageFiles):
        return ImageTable(settings.output, source.journal, source.files)
    return (
        VideoTable(FrameFile(settings.output / f"{source.stem}.csv"), settings.track)
        if isinstance(source, Video)
        else None
    )


def _rows(records: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Any, ...]]:
    """Yield the row of each instance of an image."""
    for number, record in enumerate(records, start=1):
        pixels = area(record["segmentation"]) if "segmentation" in record else ""
        yield number, record["category_id"], record["category"], record["score"], *record["bbox"], pixels
