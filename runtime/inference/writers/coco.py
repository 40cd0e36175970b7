"""The instances of image files as COCO JSON: a data set, and a results list."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from maskrt.contract.keypoints import skeleton
from maskrt.files import replacing
from maskrt.runtime.inference.journal import Journal
from maskrt.runtime.inference.settings import Settings
from maskrt.runtime.inference.sources import ImageFiles, PictureJob, Source
from maskrt.runtime.inference.writers.base import no_more_room
from maskrt.runtime.masks.polygons import polygons_of
from maskrt.runtime.masks.rle import area
from maskrt.runtime.structures.masks import RleMasks


class CocoJson:
    """Writes the instances of each image to a journal, and at the end COCO JSON made from it; see `base.Writer`.

    `instances.json` is a COCO data set (images, categories, annotations with scores) that any COCO tool opens.
    `results.json` is the list that pycocotools' `loadRes` takes for evaluation. The images are numbered from 1 in the
    order of their source. The journal holds a line for each image as soon as it is there.

    Args:
        folder: of the two files.
        class_names: index = label; label 0 is the background and no category.
        journal: of this run.
        files: of the source, in its order.
        stems: of the pictures of each, by its place.
        polygons: write the masks of the data set as polygons; a results list has run lengths always, which
            pycocotools' `loadRes` needs.
    """

    stage = "rle"

    def __init__(
        self,
        folder: Path,
        class_names: Sequence[str],
        journal: Journal,
        files: Sequence[Path] = (),
        stems: Mapping[int, str] | None = None,
        polygons: bool = False,
    ) -> None:
        self._data_set, self._results_list = folder / "instances.json", folder / "results.json"
        self._categories = [{"id": i, "name": name} for i, name in enumerate(class_names) if i > 0]
        self._journal = journal
        self._files = files
        self._stems = stems or {}
        self._polygons = polygons

    def prepare(self, job: PictureJob) -> dict[str, Any]:
        """Make the line of an image."""
        assert job.instances is not None
        return self._journal.line(job.source, self._stems.get(job.number, ""), job.files, job.instances)

    def write(self, job: PictureJob, prepared: dict[str, Any]) -> None:
        """Append the line.

        Raises:
            MaskrtError: the journal cannot be written.
        """
        try:
            self._journal.append(prepared)
        except OSError as error:
            raise no_more_room(self._journal.path, error) from None

    def close(self) -> list[str]:
        """Write the two files, each in one step: an interrupted write leaves the old file.

        Raises:
            MaskrtError: they cannot be written; what was found is in the journal.
        """
        try:
            for path, write in (
                (self._data_set, self._write_data_set),
                (self._results_list, self._write_results_list),
            ):
                try:
                    with replacing(path) as unfinished, unfinished.open("wb") as file:
                        write(file)
                except OSError as error:
                    raise no_more_room(path, error, f"The instances are in {self._journal.path}.") from None
        finally:
            self._journal.close()
        return [f"COCO JSON: {self._data_set} (data set), {self._results_list} (results list)"]

    def _write_data_set(self, file: BinaryIO) -> None:
        """Piece by piece: of a large data set, the memory holds one image at a time."""
        file.write(b'{"images": ')
        _write_list(file, ({"id": number, **_image(line)} for number, line in self._journal.images(self._files)))
        file.write(b', "categories": ' + _json(self._with_keypoints()) + b', "annotations": ')
        annotations = (
            {"id": annotation_id, **self._annotation(record), "iscrowd": 0, **_visible_keypoints(record)}
            for annotation_id, record in enumerate(self._records(), start=1)
        )
        _write_list(file, annotations)
        file.write(b"}")

    def _write_results_list(self, file: BinaryIO) -> None:
        _write_list(file, self._records())

    def _with_keypoints(self) -> list[dict[str, Any]]:
        """Return the categories with the names of their keypoints and the limbs that join them, where there are any."""
        names = next((line["keypoint_names"] for _, line in self._journal.images(()) if "keypoint_names" in line), None)
        if names is None:
            return self._categories
        limbs = [[a + 1, b + 1] for a, b in skeleton(tuple(names))]
        return [{**category, "keypoints": names, "skeleton": limbs} for category in self._categories]

    def _annotation(self, record: dict[str, Any]) -> dict[str, Any]:
        """Make an annotation of a record: with its area, and its mask in the form that was asked for."""
        annotation = {**record, "area": _area(record)}
        if self._polygons and "segmentation" in record:
            (parts,) = polygons_of(RleMasks((record["segmentation"],)).crops())
            annotation["segmentation"] = [part.reshape(-1).tolist() for part in parts]
        return annotation

    def _records(self) -> Iterator[dict[str, Any]]:
        for number, line in self._journal.images(self._files):
            for record in line["instances"]:
                yield {"image_id": number, **{key: value for key, value in record.items() if key != "category"}}


def open_writer(source: Source, settings: Settings, class_names: tuple[str, ...]) -> CocoJson | None:
    """Open it for image files."""
    if not isinstance(source, ImageFiles):
        return None
    return CocoJson(
        settings.output, class_names, source.journal, source.files, source.stems, polygons=settings.polygons
    )


def _write_list(file: BinaryIO, items: Iterable[dict[str, Any]]) -> None:
    separator = b"["
    for item in items:
        file.write(separator + _json(item))
        separator = b", "
    file.write(b"]" if separator != b"[" else b"[]")


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace")


def _image(line: dict[str, Any]) -> dict[str, Any]:
    return {key: line[key] for key in ("file_name", "file_name_base64", "width", "height") if key in line}


def _visible_keypoints(record: dict[str, Any]) -> dict[str, Any]:
    """Make a data set's keypoints of those with scores: each counts as visible, which is 2 in COCO."""
    if "keypoints" not in record:
        return {}
    keypoints = [2 if i % 3 == 2 else value for i, value in enumerate(record["keypoints"])]
    return {"keypoints": keypoints, "num_keypoints": len(keypoints) // 3}


def _area(record: dict[str, Any]) -> float:
    if "segmentation" in record:
        return float(area(record["segmentation"]))
    _, _, width, height = record["bbox"]
    return float(width * height)
