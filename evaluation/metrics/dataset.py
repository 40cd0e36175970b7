"""A COCO-format data set: the images, and the truth that AP is measured against."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskrt.errors import ArgumentError
from maskrt.evaluation.metrics.annotations import ignored_region, problem_of, without_strokes
from maskrt.files import read_text_file

_SHOWN = 5
"""How many of a list a message names."""

_READINGS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("", str),
    ("the backslashes in the names of its images are read as slashes", lambda name: name.replace("\\", "/")),
    (
        "its images are not in the folders that it names, but found by their names alone",
        lambda name: name.replace("\\", "/").rpartition("/")[2],
    ),
)
"""How the names of files are read, and what is said of it; the first that leads to a file counts for all."""


@dataclass(frozen=True)
class CocoDataset:
    """A COCO dictionary, and where its images lie.

    Attributes:
        path: of the JSON file.
        truth: the COCO dictionary.
        files: image id → image file.
        folder: that the names of the images are relative to.
        missing: how many images were left out because their files do not exist.
        left_out: how many annotations were left out because they cannot be used.
        notes: what was left out or read otherwise than it is written, a sentence each.
    """

    path: Path
    truth: dict[str, Any]
    files: dict[int, Path]
    folder: Path
    missing: int = 0
    left_out: int = 0
    notes: tuple[str, ...] = ()

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

    Names of files are read as they are; where none of the files exists, with slashes for the backslashes that Windows
    writes, and then without the folders of the machine that wrote them.

    Without `images`, the folder of the images, they are looked for beside the file, in a folder `images` beside it, one
    folder up, and, as COCO itself lays them out (`annotations/instances_val2017.json`, `val2017/`), in the folder of
    the split's name.

    Raises:
        ArgumentError: the file is missing, not COCO JSON, has no images, or none of the folders has its images.
    """
    text = read_text_file(path, "data set", ArgumentError)
    try:
        truth = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"{path} is not a COCO JSON file: {error}.") from None
    try:
        names = {int(image["id"]): _file_name(image) for image in truth["images"]}
    except (KeyError, TypeError, ValueError):
        raise ArgumentError(f"{path} is not a COCO JSON file: it has no list of images.") from None
    if not names:
        raise ArgumentError(f"{path} names no images.")
    if images is not None and not images.is_dir():
        raise ArgumentError(f"{images}: there is no such folder of images.")
    upper = path.parent.parent
    folders = [path.parent, path.parent / "images", upper, upper / path.stem.split("_")[-1]]
    for note, read in _READINGS:
        if len(set(map(read, names.values()))) < len(set(names.values())):
            continue  # two images would become one
        for folder in [images] if images is not None else folders:
            # Not only the first: that one may be missing.
            if any((folder / read(name)).is_file() for name in names.values()):
                files = {number: folder / read(name) for number, name in names.items()}
                return CocoDataset(path, truth, files, folder, notes=(f"{path}: {note}.",) if note else ())
    first, tried = next(iter(names.values())), ", ".join(map(str, [images] if images is not None else folders))
    raise ArgumentError(f"{path} names the image {first}, but it and all others are in none of: {tried}.")


def _file_name(image: dict[str, Any]) -> str:
    """Name an image's file; LVIS names COCO's address of it alone, which ends in the split's folder and the file."""
    if "file_name" not in image and "coco_url" in image:
        return "/".join(str(image["coco_url"]).split("/")[-2:])
    return str(image["file_name"])


def read_ground_truth(path: Path, images: Path | None = None, *, skip_missing: bool = False) -> CocoDataset:
    """Read a COCO JSON file to measure AP with: as `read_coco`, with the annotations as pycocotools needs them.

    They are numbered anew, from 1: pycocotools takes a match with the annotation 0 for none, and equal ids for one
    annotation. `iscrowd` is 0 where it is missing, `area` that of the box; COCO's own rules for crowd regions are left
    to pycocotools.

    One oddity does not stop a data set; `notes` name what was left out:
    - a category without annotations that has the name of another one, as the root that Roboflow writes;
    - polygons of fewer than three points, which enclose nothing;
    - annotations that cannot be used, as long as most can. Where only the mask is at fault, what is found in the box
      counts neither for nor against (a crowd region).

    Args:
        path: as for `read_coco`.
        images: as for `read_coco`.
        skip_missing: leave out images whose file does not exist, with their annotations.

    Raises:
        ArgumentError: as for `read_coco`; an image is missing; the classes are not looked for in all images, as in
            LVIS; there are no annotations, or images, categories or
            annotations are not as AP needs them.
    """
    dataset = read_coco(path, images)
    if any("neg_category_ids" in image for image in dataset.truth["images"]):
        raise ArgumentError(
            f"{path} is annotated as LVIS is: in each image, only some classes were looked for (neg_category_ids). "
            "COCO's AP would take what it finds of the others for wrong, and maskrt measures no AP of LVIS."
        )
    missing = {number: file for number, file in dataset.files.items() if not file.is_file()}
    if missing and not skip_missing:
        raise ArgumentError(
            f"{len(missing)} of the {len(dataset.files)} images of {path} are missing: "
            f"{_some([str(file) for file in missing.values()])}. With --skip-missing, maskrt evaluate measures AP on "
            "the others alone."
        )
    dataset = dataclasses.replace(_checked(dataset), missing=len(missing))
    dataset = dataset.restrict(images=dataset.files.keys() - missing.keys())
    if not dataset.truth["annotations"]:
        raise ArgumentError(f"{path} has no annotations, so no AP can be measured with it.")
    return dataset


def _checked(dataset: CocoDataset) -> CocoDataset:
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
    checked, left_out, strokes = _usable_annotations(dataset, images, names)
    notes = list(dataset.notes)
    if strokes:
        notes.append(
            f"{path}: polygons of fewer than 3 points, which enclose nothing, are left out of {strokes} masks."
        )
    if left_out:
        notes.append(
            f"{path}: {len(left_out)} of {len(truth['annotations'])} annotations are left out: {_some(left_out, '; ')}."
        )
    used = {annotation["category_id"] for annotation in checked}
    counts = Counter(names.values())
    doubles = [number for number, name in names.items() if counts[name] > 1 and number not in used]
    spare = [number for number in doubles if any(names[other] == names[number] for other in used)]
    if spare:
        shown = _some([f"{names[number]} ({number})" for number in spare])
        notes.append(f"{path}: a category without annotations that has the name of another is left out: {shown}.")
    kept = [entry for entry in categories if entry["id"] not in spare]
    return dataclasses.replace(
        dataset,
        truth={**truth, "categories": kept, "annotations": checked},
        left_out=len(left_out),
        notes=tuple(notes),
    )


def _usable_annotations(
    dataset: CocoDataset, images: dict[int, dict[str, Any]], categories: dict[int, str]
) -> tuple[list[dict[str, Any]], list[str], int]:
    """Return the annotations as pycocotools needs them, what was left out and why, and how many masks lost strokes."""
    path = dataset.path
    annotations = dataset.truth.get("annotations") or []
    if not isinstance(annotations, list):
        raise ArgumentError(f"{path} is damaged: its annotations are not a list.")
    checked: list[dict[str, Any]] = []
    left_out: list[str] = []
    strokes = 0
    for number, given in enumerate(annotations, start=1):
        if not isinstance(given, dict):
            raise ArgumentError(
                f"{path} is damaged: its annotation number {number} {problem_of(given, images, categories)}."
            )
        annotation: dict[str, Any] | None = without_strokes(given)
        strokes += annotation is not given
        if problem := problem_of(annotation, images, categories):
            own = given.get("id")
            left_out.append(f"annotation {f'number {number}' if own is None else own} {problem}")
            annotation = ignored_region(given, images, categories)
        if annotation is not None:
            _, _, width, height = annotation["bbox"]
            checked.append({"iscrowd": 0, "area": width * height, **annotation, "id": number})
    if 2 * len(left_out) > len(annotations):
        more = f" {len(left_out)} of {len(annotations)} annotations cannot be used." if len(left_out) > 1 else ""
        raise ArgumentError(f"{path} is damaged: its {left_out[0]}.{more}")
    return checked, left_out, strokes


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


def _some(names: Sequence[str], separator: str = ", ") -> str:
    shown = separator.join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
