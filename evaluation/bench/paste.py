"""Mask pasting and COCO encoding: maskrt's runtime against the frameworks' own and pycocotools.

Both sides turn the same boxes and 28x28 masks of 100 detections into the same COCO RLE strings.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import torch
from pycocotools import mask as coco_mask

from maskrt.contract.pipeline import Paste
from maskrt.evaluation.bench.operation import compare_operation
from maskrt.evaluation.results.bench import OperationRecord
from maskrt.export.families.base import Operations
from maskrt.runtime import Instances
from maskrt.runtime.structures.masks import GridMasks

_IMAGE_SIZES = ((1080, 1920), (2160, 3840))
_DETECTIONS = 100


def measure_paste(framework: Operations, repeats: int) -> list[OperationRecord]:
    """Time it at two image sizes; `differing` is the number of strings that are not the same."""
    records = []
    for size in _IMAGE_SIZES:
        instances = make_instances(_DETECTIONS, size, np.random.default_rng(0), framework.pipeline.paste)
        ours = [rle["counts"] for rle in instances.rle()]
        differing = sum(a != b for a, b in zip(ours, paste_and_encode(framework, instances), strict=True))
        reference = f"{framework.name} + pycocotools", partial(paste_and_encode, framework, instances)
        record = compare_operation(f"paste and encode {_DETECTIONS} masks", size, reference, instances.rle, repeats)
        records.append(replace(record, differing=differing))
    return records


def make_instances(number: int, image_size: tuple[int, int], rng: np.random.Generator, paste: Paste) -> Instances:
    """Make detections as a trained model gives them: boxes inside the image, masks with one smooth contour.

    Box sides are log-normal around a fifth of the image height, as among COCO's objects of all sizes.
    """
    height, width = image_size
    centers = rng.uniform(0, 1, (number, 2)) * (width, height)
    sides = np.exp(rng.normal(np.log(0.2 * height), 0.7, (number, 2)))
    boxes = np.concatenate((centers - sides / 2, centers + sides / 2), axis=1)
    boxes = np.clip(boxes, 0, (width, height, width, height)).astype(np.float32)
    noise = rng.random((number, 28, 28), dtype=np.float32)
    y, x = np.mgrid[-13.5:14, -13.5:14]
    logits = [12 - np.hypot(x, y) + 20 * (cv2.GaussianBlur(mask, (9, 9), 3) - 0.5) for mask in noise]
    probabilities = (1 / (1 + np.exp(-np.stack(logits)))).astype(np.float32)
    return Instances(
        boxes=boxes,
        scores=np.ones(number, dtype=np.float32),
        labels=np.ones(number, dtype=np.int32),
        segmentations=GridMasks(probabilities, boxes, image_size, paste),
        class_names=("__background__", "object"),
        image_size=image_size,
    )


def paste_and_encode(framework: Operations, instances: Instances) -> list[str]:
    """Do what a framework's user does: canvas, threshold, column order, encode.

    One instance at a time, which is faster than all at once: 100 canvases at 4K are 3.3 GB.
    """
    assert instances.mask_probabilities is not None
    probabilities, boxes = torch.from_numpy(instances.mask_probabilities), torch.from_numpy(instances.boxes)
    return [
        coco_mask.encode(np.asfortranarray(mask.view(np.uint8)))["counts"].decode()
        for mask in framework.paste(probabilities, boxes, instances.image_size)
    ]
