"""Tiled prediction with the demo model on mosaics of held-out scenes, against untiled prediction and mere NMS.

A short form runs by default, 16 mosaics with MASKRT_LONG_TESTS=1.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from maskrt.evaluation.metrics.coco import average_precision
from maskrt.runtime import Instances, Segmenter
from maskrt.runtime.tiling import predict as tiles
from maskrt.runtime.tiling.predict import make_tiles, predict_tiled
from maskrt.shapes.dataset import coco_annotations
from maskrt.shapes.outlines import CLASS_NAMES
from maskrt.shapes.scenes import Scene, generate_scene

from .test_predict import iou_with, merge_nothing

MOSAICS = 16 if os.environ.get("MASKRT_LONG_TESTS") == "1" else 2


def mosaic(first: int) -> Scene:
    """Four held-out scenes side by side, 600x600, from scene number `first` on."""
    image = np.zeros((600, 600, 3), np.uint8)
    masks, labels = [], []
    number = first
    for top, left in ((0, 0), (0, 300), (300, 0), (300, 300)):
        while min((scene := generate_scene(number, "test")).image.shape[:2]) < 300:
            number += 1
        number += 1
        image[top : top + 300, left : left + 300] = scene.image[:300, :300]
        for mask, label in zip(scene.masks[:, :300, :300], scene.labels, strict=True):
            if mask.sum() >= 150:  # enough to tell a shape by
                masks.append(np.zeros(image.shape[:2], bool))
                masks[-1][top : top + 300, left : left + 300] = mask
                labels.append(label)
    return Scene(image, np.array(masks), np.array(labels))


def is_cut(corners: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """[N] bool: whether a border of some tile ([T, 4]) runs through the box ([N, 4])."""
    touched = ((corners[:, None, :2] < regions[:, 2:]) & (corners[:, None, 2:] > regions[:, :2])).all(axis=2)
    inside = ((corners[:, None, :2] >= regions[:, :2]) & (corners[:, None, 2:] <= regions[:, 2:])).all(axis=2)
    return (touched & ~inside).any(axis=1)


def claims_and_quality(instances: Instances, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Of each object, how many sure detections of its class lie mostly inside it, and the best mask IoU."""
    sure = instances[instances.scores > 0.5]
    same = sure.labels[:, None] == scene.labels
    truth = [coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in scene.masks]
    inside = np.asarray(coco_mask.iou(sure.rle(), truth, [1] * len(truth))).reshape(same.shape) > 0.5
    return (inside & same).sum(axis=0), np.where(same, iou_with(sure, list(scene.masks)), 0).max(axis=0, initial=0)


def test_demo_model_on_mosaics_of_scenes(shapes_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects that tile borders cut come out once and as well as others; AP is better than untiled and unmerged."""
    scenes = [mosaic(first) for first in range(150, 150 + 10 * MOSAICS, 10)]
    segmenter = Segmenter(shapes_onnx, threads=1)
    options: dict[str, Any] = {"tile_size": (320, 320), "overlap": 0.25}
    results = {"untiled": [segmenter.predict(scene.image) for scene in scenes]}
    predict, of_tiles = segmenter.predict, []

    def predict_and_keep(images: list[np.ndarray], **thresholds: Any) -> list[Instances]:
        of_tiles.append(predict(images, **thresholds))
        return of_tiles[-1]

    monkeypatch.setattr(segmenter, "predict", predict_and_keep)
    results["tiled"] = [predict_tiled(segmenter, scene.image, **options) for scene in scenes]
    # The same detections again, not joined.
    monkeypatch.setattr(segmenter, "predict", lambda *_, **__: of_tiles.pop(0))
    monkeypatch.setattr(tiles, "merge", merge_nothing)
    results["unmerged"] = [predict_tiled(segmenter, scene.image, **options) for scene in scenes]

    annotations: list[dict[str, Any]] = []
    for number, scene in enumerate(scenes, 1):
        annotations += coco_annotations(scene, number, len(annotations) + 1)
    truth = {
        "info": {},
        "images": [{"id": i, "file_name": str(i), "height": 600, "width": 600} for i in range(1, len(scenes) + 1)],
        "annotations": annotations,
        "categories": [{"id": label, "name": name} for label, name in enumerate(CLASS_NAMES) if label],
    }
    ap, claims, quality = {}, {}, {}
    for name, found in results.items():
        records = [record for number, each in enumerate(found, 1) for record in each.to_coco(number)]
        ap[name] = average_precision(truth, records, "segm").overall.AP or 0.0
        counts, ious = zip(*map(claims_and_quality, found, scenes), strict=True)
        claims[name], quality[name] = np.concatenate(counts), np.concatenate(ious)
    corners = np.array([record["bbox"] for record in annotations])
    corners[:, 2:] += corners[:, :2]
    cut = is_cut(corners, np.array(make_tiles((600, 600), (320, 320), 0.25)))
    found_ious = {name: (ious[(ious > 0.5) & cut], ious[(ious > 0.5) & ~cut]) for name, ious in quality.items()}
    print(f"{len(cut)} objects in {len(scenes)} images, {cut.sum()} cut by the border of a tile")
    for name in results:
        print(
            f"{name}: mask AP {ap[name]:.4f}; of the objects cut {len(found_ious[name][0])} were found, mask IoU "
            f"{found_ious[name][0].mean():.3f}; of the others {len(found_ious[name][1])}, mask IoU "
            f"{found_ious[name][1].mean():.3f}; {(claims[name] > 1).sum()} claimed more than once"
        )
    assert ap["tiled"] > ap["unmerged"] + 0.01
    assert ap["tiled"] > ap["untiled"] + 0.05
    assert (claims["tiled"] > 1).sum() < 0.5 * (claims["unmerged"] > 1).sum()
    assert found_ious["tiled"][0].mean() > found_ious["tiled"][1].mean() - 0.03
