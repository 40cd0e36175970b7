"""Masks as the runtime pastes them into the image, beside the same masks pasted by torchvision."""

from __future__ import annotations

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torchvision.models.detection.roi_heads import paste_masks_in_image

from maskrt.runtime import Instances


def pasting_iou(instances: Instances) -> float | None:
    """IoU of the pixels of all masks as maskrt pastes them with those that torchvision pastes from the same boxes and
    mask probabilities. None without masks."""
    if instances.mask_probabilities is None or not len(instances):
        return None
    intersection = union = 0
    probabilities = torch.from_numpy(instances.mask_probabilities)[:, None]
    boxes = torch.from_numpy(instances.boxes)
    for index, rle in enumerate(instances.rle()):  # one at a time: a canvas for each would not fit for large images
        pasted = paste_masks_in_image(probabilities[index, None], boxes[index, None], instances.image_size)[0, 0]
        pair = [coco_mask.encode(np.asfortranarray((pasted > 0.5).numpy(), dtype=np.uint8)), rle]
        intersection += int(coco_mask.area(coco_mask.merge(pair, intersect=True)))
        union += int(coco_mask.area(coco_mask.merge(pair)))
    return intersection / union if union else 1.0
