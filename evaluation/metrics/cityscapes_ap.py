"""Cityscapes' own average precision of instances, by cityscapesScripts.

What it does otherwise than COCO: objects of fewer than 100 pixels, groups, and what nobody labelled count neither for
nor against; the precision is not made monotonic, and averaged over all recalls; a class's number of detections is not
limited.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskrt.errors import ArgumentError, DependencyError, ImageError
from maskrt.evaluation.metrics.cityscapes import CLASSES
from maskrt.evaluation.metrics.dataset import CocoDataset

_CONVERT = "`python -m maskrt.evaluation.metrics.cityscapes FOLDER` makes one that fits."


@dataclass(frozen=True)
class CityscapesClassAp:
    """AP of one class, over IoU 0.50:0.95 and at 0.50, 0 to 1; None where no ground truth counts."""

    name: str
    AP: float | None
    AP50: float | None


@dataclass(frozen=True)
class CityscapesAp:
    """AP of masks as Cityscapes measures it: the mean of the classes' over IoU 0.50:0.95, and at 0.50, 0 to 1."""

    AP: float | None
    AP50: float | None
    per_class: tuple[CityscapesClassAp, ...]


def check_cityscapes(dataset: CocoDataset) -> None:
    """Check, before hours of work, that Cityscapes' AP can be measured on a data set.

    Raises:
        ArgumentError: it was not made from Cityscapes' ground truth, or that is not where it was.
        DependencyError: cityscapesScripts is missing.
    """
    _scripts()
    _instance_files(dataset)


def cityscapes_ap(dataset: CocoDataset, results: Sequence[Mapping[str, Any]]) -> CityscapesAp:
    """Measure Cityscapes' AP of COCO result records with masks.

    The arithmetic is that of cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling; only what lies in what is
    counted here: its own way is one file of a mask for each detection, and ends in an error with NumPy 2.4.

    Args:
        dataset: made by `maskrt.evaluation.metrics.cityscapes`.
        results: of all its images; `segmentation` is a compressed RLE.

    Raises:
        ArgumentError: as `check_cityscapes`; a record has no mask, or one of another size.
        DependencyError: as `check_cityscapes`.
        ImageError: a file of the ground truth cannot be read.
    """
    scripts = _scripts()
    from cityscapesscripts.evaluation.instances2dict import instances2dict

    settings = scripts.CArgs()
    settings.__dict__.update(scripts.args.__dict__, distanceAvailable=False)
    settings.instLabels = [entry["name"] for entry in dataset.truth["categories"]]
    of_image: dict[int, list[Mapping[str, Any]]] = {}
    for record in results:
        of_image.setdefault(record["image_id"], []).append(record)
    matches = {}
    for number, file in _instance_files(dataset).items():
        ids = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        if ids is None or ids.ndim != 2:
            raise ImageError(f"{file} is not an image with one channel of 16 bits.")
        (instances,) = instances2dict([str(file)], verbose=False).values()
        matches[number] = _match(scripts, instances, ids, of_image.get(number, []), settings.instLabels)
    with np.errstate(invalid="ignore"):
        precision = scripts.evaluateMatches(matches, settings)[0]  # class, IoU
    return CityscapesAp(
        _mean(precision),
        _mean(precision[:, :1]),
        tuple(
            CityscapesClassAp(name, _mean(own), _mean(own[:1]))
            for name, own in zip(settings.instLabels, precision, strict=True)
        ),
    )


def _scripts() -> Any:
    try:
        from cityscapesscripts.evaluation import evalInstanceLevelSemanticLabeling
    except ImportError as error:
        raise DependencyError(
            f"Cityscapes' AP needs cityscapesScripts ({error}): `pip install maskrt[cityscapes]`"
        ) from error
    return evalInstanceLevelSemanticLabeling


def _instance_files(dataset: CocoDataset) -> dict[int, Path]:
    """Find the instanceIds image of each image."""
    foreign = {entry["name"] for entry in dataset.truth["categories"] if CLASSES.get(entry["id"]) != entry["name"]}
    if foreign:
        raise ArgumentError(
            f"{dataset.path} is not of Cityscapes, which has no class {', '.join(sorted(foreign))} with that id. "
            f"{_CONVERT}"
        )
    found = {}
    for image in dataset.truth["images"]:
        if "instance_ids" not in image:
            raise ArgumentError(f"{dataset.path} does not name Cityscapes' ground truth of its images. {_CONVERT}")
        found[image["id"]] = file = dataset.folder / image["instance_ids"]
        if not file.is_file():
            raise ArgumentError(
                f"{file}, which {dataset.path} names, does not exist. Give --images with the folder that has gtFine/ "
                "and leftImg8bit/ in it."
            )
    return found


def _match(
    scripts: Any,
    instances: Mapping[str, Sequence[dict[str, Any]]],
    ids: np.ndarray,
    records: Sequence[Mapping[str, Any]],
    names: Sequence[str],
) -> dict[str, Any]:
    """Tell which detections meet which instances of their class, in how many pixels (`assignGt2Preds`)."""
    from pycocotools import mask as coco_mask

    void = [label.id for label in scripts.labels if label.ignoreInEval]
    truth = {name: [{**deepcopy(instance), "matchedPred": []} for instance in instances[name]] for name in names}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for number, record in enumerate(records):
        if "segmentation" not in record:
            raise ArgumentError("Cityscapes' AP is of masks, but the model finds none.")
        mask = coco_mask.decode(record["segmentation"]).astype(bool)
        if mask.shape != ids.shape:
            raise ArgumentError(
                f"A mask of image {record['image_id']} is {mask.shape}, but Cityscapes' ground truth of it {ids.shape}."
            )
        name = CLASSES[record["category_id"]]
        if name not in truth or not mask.any():
            continue
        pixels = dict(zip(*(part.tolist() for part in np.unique(ids[mask], return_counts=True)), strict=True))
        detection = {
            "predID": number,
            "labelID": record["category_id"],
            "pixelCount": int(np.count_nonzero(mask)),
            "confidence": record["score"],
            "voidIntersection": sum(pixels.get(label, 0) for label in void),
        }
        met = []
        for instance, own in zip(instances[name], truth[name], strict=True):
            if intersection := pixels.get(instance["instID"], 0):
                met.append({**instance, "intersection": intersection})
                own["matchedPred"].append({**detection, "intersection": intersection})
        found[name].append({**detection, "matchedGt": met})
    return {"groundTruth": truth, "prediction": found}


def _mean(precision: np.ndarray) -> float | None:
    """Average over what has ground truth; None where nothing has."""
    counted = [value for value in precision.reshape(-1).tolist() if not math.isnan(value)]
    return float(np.mean(counted)) if counted else None
