"""Cityscapes as a COCO-format data set.

    python -m maskrt.evaluation.metrics.cityscapes FOLDER --split val

Reads `gtFine/<split>/<city>/*_gtFine_instanceIds.png` and names `leftImg8bit/<split>/<city>/*_leftImg8bit.png` as the
images. An instanceIds image [H, W] uint16 holds, for each pixel, the class id times 1000 plus the number of the
instance; below 1000 it is the class id alone, for a class without instances or a group nobody could separate
(cityscapesScripts, helpers/labels.py and preparation/json2instanceImg.py). Such a group becomes a crowd region.
Each image's entry names its instanceIds image as `instance_ids`, which Cityscapes' own AP is measured with.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskrt.command import run_verb
from maskrt.errors import ArgumentError, ImageError
from maskrt.files import write_in_one_step
from maskrt.options import add_output_option, named_path
from maskrt.runtime.images.read import check_file
from maskrt.runtime.inference.progress import Progress
from maskrt.terminal import say

EXTRA = "maskrt[evaluate,cpu]"
INTERRUPTED_NOTE = "nothing was written"

CLASSES = {
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
"""The classes with instances that Cityscapes evaluates, by their id in cityscapesScripts."""

_GROUND_TRUTH, _IMAGE = "_gtFine_instanceIds.png", "_leftImg8bit.png"


def annotations_of(instance_ids: np.ndarray) -> Iterator[dict[str, Any]]:
    """Make COCO annotations of an instanceIds image [H, W] uint16: category, box, area, mask, crowd or not; no ids."""
    from pycocotools import mask as coco_mask

    for value in np.unique(instance_ids).tolist():
        category, crowd = (value, 1) if value < 1000 else (value // 1000, 0)
        if category in CLASSES:
            rle = coco_mask.encode(np.asfortranarray(instance_ids == value, dtype=np.uint8))
            yield {
                "category_id": category,
                "bbox": [float(side) for side in coco_mask.toBbox(rle)],
                "area": int(coco_mask.area(rle)),
                "iscrowd": crowd,
                "segmentation": {"size": rle["size"], "counts": rle["counts"].decode("ascii")},
            }


def convert(root: Path, split: str) -> dict[str, Any]:
    """Convert a split to a COCO dictionary; file names are relative to `root`.

    Raises:
        ArgumentError: there is no ground truth of that split.
        ImageError: a file of the ground truth cannot be read.
    """
    folder = root / "gtFine" / split
    files = sorted(folder.glob(f"*/*{_GROUND_TRUTH}"))
    if not files:
        raise ArgumentError(
            f"{folder} has no */*{_GROUND_TRUTH}. Give the folder that has gtFine/ and leftImg8bit/ in it, and a split "
            "whose annotations are public: train or val."
        )
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    progress = Progress(len(files), sys.stderr)
    try:
        for number, file in enumerate(files, start=1):
            check_file(file)
            instance_ids = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
            if instance_ids is None or instance_ids.ndim != 2:
                raise ImageError(f"{file} is not an image with one channel of 16 bits.")
            height, width = instance_ids.shape
            name = f"leftImg8bit/{split}/{file.parent.name}/{file.name.removesuffix(_GROUND_TRUTH)}{_IMAGE}"
            truth = file.relative_to(root).as_posix()
            image = {"id": number, "file_name": name, "height": height, "width": width, "instance_ids": truth}
            images.append(image)
            for annotation in annotations_of(instance_ids):
                annotations.append({"id": len(annotations) + 1, "image_id": number, **annotation})
            progress.step(name)
    finally:
        progress.close()
    categories = [{"id": number, "name": name} for number, name in CLASSES.items()]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("folder", metavar="FOLDER", type=named_path, help="with gtFine/ and leftImg8bit/ in it")
    parser.add_argument("--split", default="val", help="(default: %(default)s)")
    add_output_option(parser, None, "file to write (default: FOLDER/instances_gtFine_<split>.json)")


def run(options: argparse.Namespace) -> int:
    """Convert a split, and say how to use it; return the exit code.

    Raises:
        MaskrtError: something the user gave does not work.
    """
    output: Path = options.output or options.folder / f"instances_gtFine_{options.split}.json"
    content = json.dumps(convert(options.folder, options.split)).encode()
    try:
        write_in_one_step(output, content)
    except OSError as error:
        raise ArgumentError(f"cannot write {output}: {error.strerror or error}") from None
    say(str(output), f"maskrt evaluate model.onnx --dataset {output} --images {options.folder} --metric cityscapes")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_verb("python -m maskrt.evaluation.metrics.cityscapes", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
