"""Average precision on the held-out scenes, of the PyTorch model and of any other source of results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torchvision.models.detection import MaskRCNN

from maskrt.evaluation.coco import average_precision
from maskrt.shapes.dataset import HELD_OUT_SCENES, ground_truth
from maskrt.shapes.scenes import generate_scene

Predictor = Callable[[np.ndarray, int], list[dict[str, Any]]]
"""From an image `[H,W,3]` uint8 RGB and its id to COCO result records."""


@torch.inference_mode()
def torch_results(model: MaskRCNN, image: np.ndarray, image_id: int) -> list[dict[str, Any]]:
    """COCO result records of torchvision's own inference on `[H,W,3]` uint8 RGB, masks cut at 0.5."""
    from pycocotools import mask as coco_mask

    (output,) = model([torch.from_numpy(image).permute(2, 0, 1).float() / 255])
    records = []
    for box, score, label, mask in zip(
        output["boxes"].tolist(),
        output["scores"].tolist(),
        output["labels"].tolist(),
        output["masks"],
        strict=True,
    ):
        rle = coco_mask.encode(np.asfortranarray((mask[0] > 0.5).numpy(), dtype=np.uint8))
        records.append(
            {
                "image_id": image_id,
                "category_id": label,
                "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                "score": score,
                "segmentation": {"size": rle["size"], "counts": rle["counts"].decode("ascii")},
            }
        )
    return records


def held_out_images(count: int = HELD_OUT_SCENES) -> Iterator[tuple[np.ndarray, int]]:
    """The held-out images with their ids in `ground_truth`."""
    for number in range(count):
        yield generate_scene(number, "test").image, number + 1


def score(predict: Predictor, count: int = HELD_OUT_SCENES) -> dict[str, dict[str, float]]:
    """Box and mask AP on the first `count` held-out scenes: `{"bbox": {"AP": …}, "segm": {"AP": …}}`."""
    truth = ground_truth(count)
    results = [record for image, image_id in held_out_images(count) for record in predict(image, image_id)]
    return {
        "bbox": average_precision(truth, results, "bbox"),
        "segm": average_precision(truth, results, "segm"),
    }


def main() -> None:
    """Prints the demo model's AP in PyTorch."""
    from maskrt.shapes.model import shapes_model

    model = shapes_model()
    for kind, values in score(lambda image, image_id: torch_results(model, image, image_id)).items():
        print(f"{kind}: " + "  ".join(f"{name} {value:.4f}" for name, value in values.items()))


if __name__ == "__main__":
    main()
