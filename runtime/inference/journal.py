"""The instances of image files as they come, a line each: what a killed run leaves, and `--resume` goes on from.

The first line of `instances.jsonl` says what the others depend on; each of these is an image: `file_name` (and
`file_name_base64`, its bytes, where they are no UTF-8), `width`, `height`, `files` (pictures that were made of it
alone, as paths in the folder of the results), `stem` (of their names), `keypoint_names` (where the model finds
keypoints), `instances` (records in the COCO results format, with the name of the class as `category`), and by `bytes`
and `modified` a file that was replaced is told from the one that was segmented.
"""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from maskrt.contract.manifest import model_sha256
from maskrt.errors import ArgumentError, MaskrtError
from maskrt.files import is_same_file
from maskrt.json_log import JsonLog
from maskrt.runtime.inference.settings import PICTURE_FORMATS, Settings
from maskrt.runtime.structures.instances import Instances

FILE = "instances.jsonl"
_FORMAT = "maskrt instances 2"
_KEYS = ("file_name", "bytes", "modified", "width", "height", "stem", "files", "instances")

OVERLAYS = "overlays"
"""In the folder of the results."""


class Journal:
    """The file, open for more.

    Args:
        folder: of the results.
        depends: on what the results depend, JSON values, from `dependencies`.
        resume: go on where an earlier run stopped; otherwise it begins anew, and the pictures that it names go.
        spared: files that are never removed: the inputs.

    Raises:
        ArgumentError: `resume`, but there is nothing to go on from, or it depends on something else.
        MaskrtError: the file cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        depends: Mapping[str, Any],
        *,
        resume: bool = False,
        spared: Sequence[Path] = (),
    ) -> None:
        self.path = folder / FILE
        header = {"format": _FORMAT, **depends}
        if resume and not self.path.exists():
            raise ArgumentError(f"There is nothing to go on from: there is no {self.path}. Leave --resume out.")
        try:
            self._log = JsonLog(self.path, _KEYS)
            if not resume:
                self._begin(header, folder, spared)
        except OSError as error:
            raise self._cannot_write(error) from None
        found = self._log.header or {}
        if found != header:
            self._log.close()
            differing = ", ".join(name for name in {**header, **found} if header.get(name) != found.get(name))
            raise ArgumentError(
                f"{self.path} is of a run that differs in: {differing}. Go on with the same, or begin anew without "
                "--resume."
            )
        self._done: dict[bytes, dict[str, Any]] = {}
        for _, entry in self._log.entries():
            if not _is_sound(entry):
                self._log.close()
                raise ArgumentError(f"{self.path} is damaged, or was edited. Begin anew without --resume.")
            kept = {name: entry[name] for name in ("bytes", "modified", "stem")}
            self._done[_bytes_of(entry)] = kept

    @property
    def kept_stems(self) -> list[str]:
        """The stems of the pictures that there are from the run that this one goes on with."""
        return [entry["stem"] for entry in self._done.values()]

    def has(self, file: Path) -> bool:
        """Tell whether a file is done, and still the same."""
        entry = self._done.get(os.fsencode(file))
        return entry is not None and {**entry, **_state(file)} == entry

    @staticmethod
    def line(file: Path, stem: str, pictures: Sequence[str], instances: Instances) -> dict[str, Any]:
        """Make the line of a file: the slow part of `append`."""
        height, width = instances.image_size
        records = instances.to_named_coco(0)
        for record in records:
            del record["image_id"]
        return {
            **file_name(file),
            **_state(file),
            "width": width,
            "height": height,
            "stem": stem,
            "files": list(pictures),
            **({"keypoint_names": list(instances.keypoint_names)} if instances.keypoint_names else {}),
            "instances": records,
        }

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line, from `line`.

        Raises:
            OSError: it cannot be written.
        """
        self._log.append(line)

    def images(self, files: Sequence[Path]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the number of each image, from 1, and its line: `files` have the number of their place, others follow.

        Of a file that was segmented again, the last line counts.
        """
        places = {os.fsencode(file): number for number, file in enumerate(files, start=1)}
        offsets: dict[int, int] = {}
        for offset, entry in self._log.entries():
            offsets[places.setdefault(_bytes_of(entry), len(places) + 1)] = offset
        for number in sorted(offsets):
            yield number, self._log.entry(offsets[number])

    def close(self) -> None:
        """Close the file."""
        self._log.close()

    def _begin(self, header: Mapping[str, Any], folder: Path, spared: Sequence[Path]) -> None:
        by_name: dict[str, list[Path]] = {}
        for file in spared:
            by_name.setdefault(file.name, []).append(file)
        if (self._log.header or {}).get("format") == _FORMAT:
            for _, entry in self._log.entries():
                for picture in filter(_is_ours, entry["files"] if isinstance(entry["files"], list) else ()):
                    path = folder / picture
                    if not any(is_same_file(path, file) for file in by_name.get(path.name, ())):
                        with contextlib.suppress(OSError):
                            path.unlink()
        self._log.begin(header)

    def _cannot_write(self, error: OSError) -> MaskrtError:
        return MaskrtError(f"{self.path} cannot be written: {error.strerror or error}.")


def dependencies(model: Path, settings: Settings) -> dict[str, Any]:
    """Say on what the results depend, for `Journal`.

    Args:
        model: the model file.
        settings: of the run.
    """
    return {
        "model": model_sha256(model),
        "score_threshold": settings.thresholds.score,
        "nms_threshold": settings.thresholds.nms,
        "tile": None if settings.tile is None else list(settings.tile),
        "overlays": settings.overlays,
        "pictures": list(settings.picture_formats),
    }


def file_name(file: Path) -> dict[str, str]:
    r"""Write a path so that every parser of JSON can read it, and the file can be found again.

    Linux takes any bytes for a name. Those that are no UTF-8 are escapes in the text (`\xfc`), and the whole name
    stands beside it as base64.

    Returns:
        `file_name`, and where it is no UTF-8 `file_name_base64`.
    """
    name = os.fsencode(file)
    try:
        return {"file_name": name.decode()}
    except UnicodeDecodeError:
        text = name.decode(errors="backslashreplace")
        return {"file_name": text, "file_name_base64": base64.b64encode(name).decode()}


def _is_ours(picture: object) -> bool:
    """Tell whether this is a file in a folder of pictures: never outside of these, whoever wrote the journal."""
    if not isinstance(picture, str):
        return False
    first, *parts = picture.split("/")
    return first in (OVERLAYS, *PICTURE_FORMATS) and bool(parts) and not {"", ".", ".."} & set(parts)


def _is_sound(entry: Mapping[str, Any]) -> bool:
    try:
        _bytes_of(entry)
    except (TypeError, ValueError):
        return False
    return isinstance(entry["stem"], str) and isinstance(entry["instances"], list)


def _bytes_of(entry: Mapping[str, Any]) -> bytes:
    if "file_name_base64" in entry:
        return base64.b64decode(entry["file_name_base64"])
    return str(entry["file_name"]).encode()


def _state(file: Path) -> dict[str, int]:
    try:
        status = file.stat()
    except OSError:  # it has gone since it was read
        return {"bytes": -1, "modified": -1}
    return {"bytes": status.st_size, "modified": status.st_mtime_ns}
