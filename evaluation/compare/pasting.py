"""Masks as the runtime pastes them into the image, beside the same masks pasted by the source model's framework."""

from __future__ import annotations

import numpy as np
import torch
from pycocotools import mask as coco_mask

from maskrt.export.reference import Reference
from maskrt.runtime import Instances


def pasting_iou(instances: Instances, reference: Reference) -> float | None:
    """Compare the pixels of all masks, as maskrt pastes them and as the framework does.

    Args:
        instances: with the boxes and mask probabilities that both paste from.
        reference: the source model's own inference.

    Returns:
        IoU, 0 to 1; None without masks.
    """
    if instances.mask_probabilities is None or not len(instances):
        return None
    intersection = union = 0
    pasted = reference.paste(
        torch.from_numpy(instances.mask_probabilities), torch.from_numpy(instances.boxes), instances.image_size
    )
    for theirs, ours in zip(pasted, instances.rle(), strict=True):
        pair = [coco_mask.encode(np.asfortranarray(theirs, dtype=np.uint8)), ours]
        intersection += int(coco_mask.area(coco_mask.merge(pair, intersect=True)))
        union += int(coco_mask.area(coco_mask.merge(pair)))
    return intersection / union if union else 1.0
