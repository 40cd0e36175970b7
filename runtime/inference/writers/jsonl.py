"""The instances of a video as JSON lines.

Each line is a frame: `frame` (its number, from 0; damaged frames have none), `time` (seconds after the first frame),
`width`, `height`, and `instances`: records in the COCO results format, with the frame's number as `image_id` and the
name of the class as `category`. A frame that failed has `error` in their place.
"""

import json
from typing import Any

from maskrt.runtime.inference.settings import Settings
from maskrt.runtime.inference.sources import PictureJob, Source, Video
from maskrt.runtime.inference.writers.frames import FrameFile
from maskrt.runtime.structures.instances import Instances
from maskrt.runtime.video.reader import Picture


class JsonLines:
    """Writes a line for each frame, at once; see `base.Writer`.

    Args:
        file: of the video.
    """

    stage = "rle"

    def __init__(self, file: FrameFile) -> None:
        self._file = file

    def prepare(self, job: PictureJob) -> str:
        """Make the line of a frame."""
        assert job.instances is not None
        return _line(job.source, _content(job.source, job.instances))

    def write(self, job: PictureJob, prepared: str | None) -> None:
        """Append the line.

        Raises:
            MaskrtError: the file cannot be written.
        """
        line = prepared or _line(job.source, {"error": str(job.error)})
        self._file.append(lambda file: file.write(line))

    def close(self) -> list[str]:
        """Close the file.

        Raises:
            MaskrtError: the file cannot be written.
        """
        return [f"Instances: {self._file.close()} (a line per frame)"]


def open_writer(source: Source, settings: Settings, _: tuple[str, ...]) -> JsonLines | None:
    """Open it for videos."""
    return JsonLines(FrameFile(settings.output / f"{source.stem}.jsonl")) if isinstance(source, Video) else None


def _content(picture: Picture, instances: Instances) -> dict[str, Any]:
    height, width = instances.image_size
    return {"width": width, "height": height, "instances": instances.to_named_coco(picture.number)}


def _line(picture: Picture, content: dict[str, Any]) -> str:
    record = {"frame": picture.number, "time": round(picture.seconds, 6), **content}
    return json.dumps(record, ensure_ascii=False) + "\n"
