"""A data set whose keypoints lie just beside those that `small_model` finds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .small_model import BOXES, CLASS_NAMES, KEYPOINT_NAMES, KEYPOINTS, LABELS

HEIGHT, WIDTH = 240, 320


def write_keypoint_dataset(folder: Path) -> Path:
    """Write two images with the objects that the small model finds; the path of the annotations."""
    corners = BOXES * [WIDTH, HEIGHT, WIDTH, HEIGHT]
    annotations: list[dict[str, Any]] = []
    for image in (1, 2):
        cv2.imwrite(str(folder / f"{image}.png"), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
        for (x0, y0, x1, y1), points, label in zip(corners.tolist(), KEYPOINTS, LABELS.tolist(), strict=True):
            places = points[:, :2] * [WIDTH, HEIGHT] + 1
            visible = np.array([2, 1, 2 if image == 1 else 0])
            keypoints = np.column_stack((places, visible)).flatten().tolist()
            box = [x0, y0, x1 - x0, y1 - y0]
            annotations.append({"image_id": image, "category_id": label, "bbox": box, "keypoints": keypoints})
    categories = [
        {"id": label, "name": name, "keypoints": list(KEYPOINT_NAMES), "sigmas": [0.05] * 3}
        for label, name in enumerate(CLASS_NAMES)
        if label
    ]
    images = [{"id": i, "file_name": f"{i}.png", "width": WIDTH, "height": HEIGHT} for i in (1, 2)]
    path = folder / "data.json"
    path.write_text(json.dumps({"images": images, "categories": categories, "annotations": annotations}))
    return path
