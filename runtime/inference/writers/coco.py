"""Results of a run as COCO JSON files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskrt.files import write_in_one_step
from maskrt.runtime.masks.rle import area
from maskrt.runtime.structures.instances import Instances


class CocoResults:
    """Collects the instances of many images and writes them as COCO JSON.

    Args:
        class_names: index = label; label 0 is the background and no category.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self._categories = [{"id": i, "name": name} for i, name in enumerate(class_names) if i > 0]
        self._images: list[dict[str, Any]] = []
        self._records: list[dict[str, Any]] = []

    def add(self, image_id: int, file_name: str, instances: Instances) -> None:
        """Take in the instances of one image."""
        records = instances.to_coco(image_id)
        height, width = instances.image_size
        self._images.append({"id": image_id, "file_name": file_name, "width": width, "height": height})
        self._records += records

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write two files, each in one step: an interrupted write leaves the old file.

        `instances.json` is a COCO data set (images, categories, annotations with scores) that any COCO tool
        opens. `results.json` is the list that pycocotools' `loadRes` takes for evaluation.

        Returns:
            The paths of the two.

        Raises:
            OSError: the files cannot be written.
        """
        annotations = [
            {"id": number, **record, "area": _area(record), "iscrowd": 0}
            for number, record in enumerate(self._records, start=1)
        ]
        data_set = {"images": self._images, "categories": self._categories, "annotations": annotations}
        paths = folder / "instances.json", folder / "results.json"
        for path, content in zip(paths, (data_set, self._records), strict=True):
            # A file name may hold bytes that are no text (PEP 383): as escapes, which JSON reads back.
            write_in_one_step(path, json.dumps(content, ensure_ascii=False).encode(errors="backslashreplace"))
        return paths


def _area(record: dict[str, Any]) -> float:
    if "segmentation" in record:
        return float(area(record["segmentation"]))
    _, _, width, height = record["bbox"]
    return float(width * height)
