"""A COCO-format data set: the images, and the truth that AP is measured against."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskrt.runtime.errors import ArgumentError


@dataclass(frozen=True)
class CocoDataset:
    """A COCO dictionary, and where its images lie.

    Attributes:
        path: of the JSON file.
        truth: the COCO dictionary.
        files: image id → image file.
    """

    path: Path
    truth: dict[str, Any]
    files: dict[int, Path]


def read_coco(path: Path) -> CocoDataset:
    """Reads a COCO JSON file and finds its images.

    They are looked for beside the file, in a folder `images` beside it, one folder up, and, as COCO itself lays
    them out (`annotations/instances_val2017.json`, `val2017/`), in the folder of the split's name.

    Raises:
        ArgumentError: the file is missing, not COCO JSON, has no images, or the first image is in none of the folders.
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
    first = next(iter(names.values()))
    folders = [path.parent, path.parent / "images", path.parent.parent, path.parent.parent / path.stem.split("_")[-1]]
    for folder in folders:
        if (folder / first).is_file():
            return CocoDataset(path, truth, {number: folder / name for number, name in names.items()})
    raise ArgumentError(f"{path} names the image {first}, but it is in none of: {', '.join(map(str, folders))}.")


def category_ids(dataset: CocoDataset, class_names: Sequence[str]) -> list[int | None]:
    """The data set's category id of each label of a model, by name; None where the data set lacks the class.

    Raises:
        ArgumentError: the data set has no annotations, or no class in common with the model.
    """
    if not dataset.truth.get("annotations"):
        raise ArgumentError(f"{dataset.path} has no annotations, so no AP can be measured with it.")
    known = {str(entry["name"]): int(entry["id"]) for entry in dataset.truth.get("categories", [])}
    ids = [known.get(name) for name in class_names]
    if not any(number is not None for number in ids):
        raise ArgumentError(
            f"{dataset.path} has the categories {', '.join(known) or '(none)'}; none of them is a class of the model: "
            f"{', '.join(class_names[1:])}."
        )
    return ids
