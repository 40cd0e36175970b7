"""Scenes as a COCO-format dataset: a folder of PNG images and `annotations.json`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskrt.command import run_verb
from maskrt.errors import ArgumentError
from maskrt.options import add_output_option, positive
from maskrt.shapes.backgrounds import Split
from maskrt.shapes.extreme_points import KEYPOINT_NAMES, SIGMAS, extreme_points
from maskrt.shapes.outlines import CLASS_NAMES
from maskrt.shapes.scenes import Scene, generate_scene

EXTRA = "maskrt[shapes]"
INTERRUPTED_NOTE = "the images so far are written, without annotations"

HELD_OUT_SCENES = 200


def coco_annotations(scene: Scene, image_id: int, first_id: int, keypoints: bool = False) -> list[dict[str, Any]]:
    """COCO annotations of a scene: boxes xywh in pixels, areas in pixels, masks as compressed RLE, extreme points."""
    from pycocotools import mask as coco_mask

    records = []
    points = extreme_points(scene.masks)
    for number, (mask, label) in enumerate(zip(scene.masks, scene.labels, strict=True)):
        rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
        records.append(
            {
                "id": first_id + number,
                "image_id": image_id,
                "category_id": int(label),
                "bbox": [float(value) for value in coco_mask.toBbox(rle)],
                "area": int(coco_mask.area(rle)),
                "iscrowd": 0,
                "segmentation": {
                    "size": [int(s) for s in rle["size"]],
                    "counts": rle["counts"].decode("ascii"),
                },
            }
        )
        if keypoints:
            records[-1] |= {"keypoints": points[number].flatten().tolist(), "num_keypoints": len(points[number])}
    return records


def ground_truth(count: int, split: Split = "test", keypoints: bool = False) -> dict[str, Any]:
    """Return the first `count` scenes of a split as a COCO dictionary; image ids are scene numbers plus one."""
    return _coco_dictionary((generate_scene(number, split) for number in range(count)), keypoints)


def _coco_dictionary(scenes: Iterable[Scene], keypoints: bool) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    for number, scene in enumerate(scenes):
        height, width = scene.image.shape[:2]
        images.append({"id": number + 1, "file_name": f"{number:05d}.png", "height": height, "width": width})
        records += coco_annotations(scene, number + 1, len(records) + 1, keypoints)
    more = {"keypoints": list(KEYPOINT_NAMES), "sigmas": list(SIGMAS)} if keypoints else {}
    categories = [{"id": label, "name": name, **more} for label, name in enumerate(CLASS_NAMES) if label]
    return {"info": {}, "images": images, "annotations": records, "categories": categories}


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an image `[H,W,3]` uint8 RGB.

    Raises:
        OSError: it cannot be written. (`cv2.imwrite` only returns False, which is easily missed.)
    """
    _, content = cv2.imencode(".png", cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR))
    path.write_bytes(content.tobytes())


def write_dataset(folder: Path, count: int, split: Split = "test", keypoints: bool = False) -> Path:
    """Write `count` scenes into `folder` (made if missing) and return the path of their `annotations.json`.

    With `keypoints`, the annotations have the extreme points of each shape, too.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def written() -> Iterator[Scene]:
        for number in range(count):
            scene = generate_scene(number, split)
            write_png(folder / f"{number:05d}.png", scene.image)
            yield scene

    annotations = _coco_dictionary(written(), keypoints)
    path = folder / "annotations.json"
    path.write_text(json.dumps(annotations), encoding="utf-8")
    return path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_output_option(parser, Path("out/shapes"), "folder for the images and annotations.json")
    parser.add_argument(
        "--split",
        choices=["train", "test"],
        default="train",
        help="train: to calibrate with; test: to measure with (default: %(default)s)",
    )
    parser.add_argument("--limit", type=positive, default=64, metavar="N", help="scenes (default: %(default)s)")
    parser.add_argument(
        "--keypoints", action="store_true", help="annotate extreme points, which maskrt.shapes.keypoints finds"
    )


def run(options: argparse.Namespace) -> int:
    """Write a data set; return the exit code.

    Raises:
        ArgumentError: a file cannot be written.
    """
    try:
        print(write_dataset(options.output, options.limit, options.split, options.keypoints))
    except OSError as error:
        raise ArgumentError(f"Cannot write to {options.output}: {error.strerror or error}.") from None
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_verb("python -m maskrt.shapes.dataset", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
