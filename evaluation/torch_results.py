"""What the PyTorch model itself finds in an image, as COCO result records."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torchvision.models.detection import FasterRCNN


@torch.inference_mode()
def torch_results(model: FasterRCNN, image: np.ndarray, image_id: int) -> list[dict[str, Any]]:
    """COCO result records of torchvision's own inference on `[H,W,3]` uint8 RGB, best score first, masks cut at 0.5.

    `category_id` is the label; `segmentation` (compressed RLE) is there where the model has masks.
    """
    from pycocotools import mask as coco_mask

    device = next(model.parameters()).device
    (output,) = model([torch.from_numpy(image).to(device).permute(2, 0, 1).float() / 255])
    records: list[dict[str, Any]] = [
        {
            "image_id": image_id,
            "category_id": label,
            "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
            "score": score,
        }
        for box, score, label in zip(
            output["boxes"].tolist(), output["scores"].tolist(), output["labels"].tolist(), strict=True
        )
    ]
    for record, mask in zip(records, output.get("masks", ()), strict=False):
        rle = coco_mask.encode(np.asfortranarray((mask[0] > 0.5).cpu().numpy(), dtype=np.uint8))
        record["segmentation"] = {"size": rle["size"], "counts": rle["counts"].decode("ascii")}
    return records
