"""Scenes as a COCO-format dataset: a folder of PNG images and `annotations.json`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskrt.shapes.backgrounds import Split
from maskrt.shapes.outlines import CLASS_NAMES
from maskrt.shapes.scenes import Scene, generate_scene

HELD_OUT_SCENES = 200


def coco_annotations(scene: Scene, image_id: int, first_id: int) -> list[dict[str, Any]]:
    """COCO annotations of a scene: boxes xywh in pixels, areas in pixels, masks as compressed RLE."""
    from pycocotools import mask as coco_mask

    records = []
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
    return records


def ground_truth(count: int, split: Split = "test") -> dict[str, Any]:
    """The first `count` scenes of a split as a COCO dictionary; image ids are scene numbers plus one."""
    images: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    for number in range(count):
        scene = generate_scene(number, split)
        height, width = scene.image.shape[:2]
        images.append({"id": number + 1, "file_name": f"{number:05d}.png", "height": height, "width": width})
        records += coco_annotations(scene, number + 1, len(records) + 1)
    categories = [{"id": label, "name": name} for label, name in enumerate(CLASS_NAMES) if label]
    return {"info": {}, "images": images, "annotations": records, "categories": categories}


def write_dataset(folder: Path, count: int, split: Split = "test") -> Path:
    """Writes `count` scenes into `folder` (made if missing) and returns the path of their `annotations.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        image = generate_scene(number, split).image
        cv2.imwrite(str(folder / f"{number:05d}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    path = folder / "annotations.json"
    path.write_text(json.dumps(ground_truth(count, split)), encoding="utf-8")
    return path


def main() -> None:
    """Writes a dataset: by default, training scenes to calibrate a lower precision with."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", choices=["train", "test"], default="train")
    parser.add_argument("--count", type=int, default=64)
    options = parser.parse_args()
    print(write_dataset(options.folder, options.count, options.split))


if __name__ == "__main__":
    main()
