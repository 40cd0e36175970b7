"""The instances of a video as JSON lines.

Each line is a frame: `frame` (its number, from 0; damaged frames have none), `time` (seconds after the first frame),
`width`, `height`, and `instances`: records in the COCO results format, with the frame's number as `image_id` and the
name of the class as `category`. A frame that failed has `error` in their place.
"""

import json
from pathlib import Path
from typing import Any

from maskrt.errors import MaskrtError
from maskrt.files import check_replaceable
from maskrt.runtime.inference.settings import Settings
from maskrt.runtime.inference.sources import PictureJob, Source, Video
from maskrt.runtime.structures.instances import Instances
from maskrt.runtime.video.reader import Picture


class JsonLines:
    """Writes a line for each frame, at once; see `base.Writer`.

    Args:
        path: of the file.
        class_names: index = label.

    Raises:
        MaskrtError: the file cannot be written.
    """

    stage = "rle"

    def __init__(self, path: Path, class_names: tuple[str, ...]) -> None:
        self._path = path
        self._class_names = class_names
        check_replaceable(path)
        try:
            self._file = path.open("w", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise self._cannot_write(error) from None

    def prepare(self, job: PictureJob) -> str:
        """Make the line of a frame."""
        assert job.instances is not None
        return _line(job.source, self._instances(job.source, job.instances))

    def write(self, job: PictureJob, prepared: str | None) -> None:
        """Append the line.

        Raises:
            MaskrtError: the file cannot be written.
        """
        try:
            self._file.write(prepared or _line(job.source, {"error": str(job.error)}))
            self._file.flush()
        except OSError as error:
            raise self._cannot_write(error) from None

    def close(self) -> list[str]:
        """Close the file.

        Raises:
            MaskrtError: the file cannot be written.
        """
        try:
            self._file.close()
        except OSError as error:
            raise self._cannot_write(error) from None
        return [f"Instances: {self._path} (a line per frame)"]

    def _instances(self, picture: Picture, instances: Instances) -> dict[str, Any]:
        height, width = instances.image_size
        records = [
            {**record, "category": self._class_names[record["category_id"]]}
            for record in instances.to_coco(picture.number)
        ]
        return {"width": width, "height": height, "instances": records}

    def _cannot_write(self, error: OSError) -> MaskrtError:
        return MaskrtError(f"{self._path} cannot be written: {error.strerror or error}.")


def open_writer(source: Source, settings: Settings, class_names: tuple[str, ...]) -> JsonLines | None:
    """Open it for videos."""
    return JsonLines(settings.output / f"{source.stem}.jsonl", class_names) if isinstance(source, Video) else None


def _line(picture: Picture, content: dict[str, Any]) -> str:
    record = {"frame": picture.number, "time": round(picture.seconds, 6), **content}
    return json.dumps(record, ensure_ascii=False) + "\n"
