"""The instances of image files as COCO JSON: a data set, and a results list."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskrt.errors import MaskrtError
from maskrt.files import write_in_one_step
from maskrt.runtime.inference.settings import Settings
from maskrt.runtime.inference.sources import ImageFiles, PictureJob, Source
from maskrt.runtime.masks.rle import area


class CocoJson:
    """Collects the instances of many images and writes them at the end, see `base.Writer`.

    `instances.json` is a COCO data set (images, categories, annotations with scores) that any COCO tool opens.
    `results.json` is the list that pycocotools' `loadRes` takes for evaluation. The images are numbered from 1 in the
    order of their source.

    Args:
        folder: of the two files.
        class_names: index = label; label 0 is the background and no category.
    """

    stage = "rle"

    def __init__(self, folder: Path, class_names: Sequence[str]) -> None:
        self._paths = folder / "instances.json", folder / "results.json"
        self._categories = [{"id": i, "name": name} for i, name in enumerate(class_names) if i > 0]
        self._images: list[dict[str, Any]] = []
        self._records: list[dict[str, Any]] = []

    def prepare(self, job: PictureJob) -> list[dict[str, Any]]:
        """Make the records of an image."""
        assert job.instances is not None
        return job.instances.to_coco(job.number + 1)

    def write(self, job: PictureJob, prepared: list[dict[str, Any]]) -> None:
        """Take in the records of an image."""
        assert job.instances is not None
        height, width = job.instances.image_size
        image = {"id": job.number + 1, "file_name": str(job.source), "width": width, "height": height}
        self._images.append(image)
        self._records += prepared

    def close(self) -> list[str]:
        """Write the two files, each in one step: an interrupted write leaves the old file.

        Raises:
            MaskrtError: they cannot be written.
        """
        annotations = [
            {"id": number, **record, "area": _area(record), "iscrowd": 0}
            for number, record in enumerate(self._records, start=1)
        ]
        data_set = {"images": self._images, "categories": self._categories, "annotations": annotations}
        for path, content in zip(self._paths, (data_set, self._records), strict=True):
            try:
                # A file name may hold bytes that are no text (PEP 383): as escapes, which JSON reads back.
                write_in_one_step(path, json.dumps(content, ensure_ascii=False).encode(errors="backslashreplace"))
            except OSError as error:
                raise MaskrtError(f"{path} cannot be written: {error.strerror or error}.") from None
        return [f"COCO JSON: {self._paths[0]} (data set), {self._paths[1]} (results list)"]


def open_writer(source: Source, settings: Settings, class_names: tuple[str, ...]) -> CocoJson | None:
    """Open it for image files."""
    return CocoJson(settings.output, class_names) if isinstance(source, ImageFiles) else None


def _area(record: dict[str, Any]) -> float:
    if "segmentation" in record:
        return float(area(record["segmentation"]))
    _, _, width, height = record["bbox"]
    return float(width * height)
