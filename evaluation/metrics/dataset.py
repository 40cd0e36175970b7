"""A COCO-format data set: the images, and the truth that AP is measured against."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskrt.errors import ArgumentError
from maskrt.evaluation.metrics.annotations import problem_of

_SHOWN = 5
"""How many of a list a message names."""


@dataclass(frozen=True)
class CocoDataset:
    """A COCO dictionary, and where its images lie.

    Attributes:
        path: of the JSON file.
        truth: the COCO dictionary.
        files: image id → image file.
        folder: that the names of the images are relative to.
        missing: how many images were left out because their files do not exist.
    """

    path: Path
    truth: dict[str, Any]
    files: dict[int, Path]
    folder: Path
    missing: int = 0

    @property
    def sizes(self) -> dict[int, tuple[int, int]]:
        """Image id → (height, width) that the annotations are for; without the images whose size is not given."""
        return {
            image["id"]: (image["height"], image["width"])
            for image in self.truth["images"]
            if "height" in image and "width" in image
        }

    def restrict(self, images: Collection[int] | None = None, categories: Collection[int] | None = None) -> CocoDataset:
        """Keep these images and categories alone; None: all of them."""
        images = self.files.keys() if images is None else set(images)
        kept = {key: value for key, value in self.truth.items() if key not in ("images", "annotations", "categories")}
        kept["images"] = [image for image in self.truth["images"] if image["id"] in images]
        kept["categories"] = [
            entry for entry in self.truth["categories"] if categories is None or entry["id"] in categories
        ]
        kept["annotations"] = [
            entry
            for entry in self.truth["annotations"]
            if entry["image_id"] in images and (categories is None or entry["category_id"] in categories)
        ]
        files = {number: file for number, file in self.files.items() if number in images}
        return dataclasses.replace(self, truth=kept, files=files)


def read_coco(path: Path, images: Path | None = None) -> CocoDataset:
    """Read a COCO JSON file and find its images.

    Without `images`, the folder of the images, they are looked for beside the file, in a folder `images` beside it, one
    folder up, and, as COCO itself lays them out (`annotations/instances_val2017.json`, `val2017/`), in the folder of
    the split's name.

    Raises:
        ArgumentError: the file is missing, not COCO JSON, has no images, or none of the folders has its images.
    """
    try:
        truth = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArgumentError(f"{path} cannot be read: {error.strerror or error}.") from None
    except ValueError as error:
        raise ArgumentError(f"{path} is not a COCO JSON file: {error}.") from None
    try:
        names = {int(image["id"]): str(image["file_name"]) for image in truth["images"]}
    except (KeyError, TypeError, ValueError):
        raise ArgumentError(f"{path} is not a COCO JSON file: it has no list of images.") from None
    if not names:
        raise ArgumentError(f"{path} names no images.")
    if images is not None and not images.is_dir():
        raise ArgumentError(f"{images}: there is no such folder of images.")
    upper = path.parent.parent
    folders = [path.parent, path.parent / "images", upper, upper / path.stem.split("_")[-1]]
    for folder in [images] if images is not None else folders:
        # Not only the first: that one may be missing.
        if any((folder / name).is_file() for name in names.values()):
            return CocoDataset(path, truth, {number: folder / name for number, name in names.items()}, folder)
    first, tried = next(iter(names.values())), ", ".join(map(str, [images] if images is not None else folders))
    raise ArgumentError(f"{path} names the image {first}, but it and all others are in none of: {tried}.")


def read_ground_truth(path: Path, images: Path | None = None, *, skip_missing: bool = False) -> CocoDataset:
    """Read a COCO JSON file to measure AP with: as `read_coco`, with the annotations as pycocotools needs them.

    They are numbered anew, from 1: pycocotools takes a match with the annotation 0 for none, and equal ids for one
    annotation. `iscrowd` is 0 where it is missing, `area` that of the box; COCO's own rules for crowd regions are left
    to pycocotools.

    Args:
        path: as for `read_coco`.
        images: as for `read_coco`.
        skip_missing: leave out images whose file does not exist, with their annotations.

    Raises:
        ArgumentError: as for `read_coco`; an image is missing; there are no annotations, or images, categories or
            annotations are not as AP needs them.
    """
    dataset = read_coco(path, images)
    missing = {number: file for number, file in dataset.files.items() if not file.is_file()}
    if missing and not skip_missing:
        raise ArgumentError(
            f"{len(missing)} of the {len(dataset.files)} images of {path} are missing: "
            f"{_some([str(file) for file in missing.values()])}. With --skip-missing, maskrt evaluate measures AP on "
            "the others alone."
        )
    dataset = dataclasses.replace(dataset, truth=_checked_truth(dataset), missing=len(missing))
    dataset = dataset.restrict(images=dataset.files.keys() - missing.keys())
    if not dataset.truth["annotations"]:
        raise ArgumentError(f"{path} has no annotations, so no AP can be measured with it.")
    return dataset


def _checked_truth(dataset: CocoDataset) -> dict[str, Any]:
    path, truth = dataset.path, dataset.truth
    images = {image["id"]: image for image in truth["images"]}
    if images.keys() != dataset.files.keys() or len(images) != len(truth["images"]):
        raise ArgumentError(f"{path} is damaged: the ids of its images should be whole numbers, each of them once.")
    categories = truth.get("categories") or []
    try:
        names = {entry["id"]: entry["name"] for entry in categories}
    except (KeyError, TypeError):
        names = {}
    if len(names) != len(categories) or not all(isinstance(number, int) for number in names):
        raise ArgumentError(f"{path} is damaged: each of its categories should have a name and a whole number as id.")
    annotations = truth.get("annotations") or []
    if not isinstance(annotations, list):
        raise ArgumentError(f"{path} is damaged: its annotations are not a list.")
    checked = []
    for number, annotation in enumerate(annotations, start=1):
        if problem := problem_of(annotation, images, names):
            own = annotation.get("id") if isinstance(annotation, dict) else None
            label = f"number {number}" if own is None else own
            raise ArgumentError(f"{path} is damaged: its annotation {label} {problem}.")
        _, _, width, height = annotation["bbox"]
        checked.append({"iscrowd": 0, "area": width * height, **annotation, "id": number})
    return {**truth, "categories": categories, "annotations": checked}


def category_ids(dataset: CocoDataset, class_names: Sequence[str]) -> list[int | None]:
    """Find the data set's category id of each label of a model, by name; None where the data set lacks the class.

    So ids may have gaps, as COCO's own, and the model's list may have entries like torchvision's "N/A". Detections of
    classes that the data set lacks do not count.

    Raises:
        ArgumentError: two categories have one name, or there are annotations of categories that the model does not
            know; the message shows the difference.
    """
    names = {int(entry["id"]): str(entry["name"]) for entry in dataset.truth["categories"]}
    twice = [name for name, count in Counter(names.values()).items() if count > 1]
    if twice:
        raise ArgumentError(f"{dataset.path} has more than one category of the name {', '.join(twice)}.")
    used = {annotation["category_id"] for annotation in dataset.truth["annotations"]}
    unknown = [names[number] for number in sorted(used) if names[number] not in class_names[1:]]
    if unknown:
        known = [name for name in class_names[1:] if name not in names.values() and name != "N/A"]
        both = len(used) - len(unknown)
        others = f"the model has {_some(known)}, which the data set does not have; " if known else ""
        raise ArgumentError(
            f"The classes do not fit: {dataset.path} has annotations of {_some(unknown)}, which the model does not "
            f"know; {others}{both} are the same. "
            + ("With --common-classes, AP is measured on these alone." if both else "Is it the right data set?")
        )
    known_ids = {name: number for number, name in names.items()}
    return [None if label == 0 else known_ids.get(name) for label, name in enumerate(class_names)]


def common_categories(dataset: CocoDataset, class_names: Sequence[str]) -> CocoDataset:
    """Keep those categories alone that the model knows, too.

    Raises:
        ArgumentError: there are none with annotations.
    """
    kept = {entry["id"] for entry in dataset.truth["categories"] if entry["name"] in class_names[1:]}
    restricted = dataset.restrict(categories=kept)
    if not restricted.truth["annotations"]:
        category_ids(dataset, class_names)
    return restricted


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
