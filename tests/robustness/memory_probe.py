"""Measures the memory of one use of the runtime, in a process of its own that prints megabytes as JSON.

python memory_probe.py growth MODEL IMAGES WARM_UP    held after WARM_UP images, IMAGES more, and some that leak
python memory_probe.py peak MODEL rle                 held before, and at most during, the RLE of 1,000 masks
python memory_probe.py peak MODEL canvas              the same for 60 image-sized arrays
"""

import ctypes
import json
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from maskrt.runtime import Instances, Segmenter
from maskrt.runtime.structures.masks import GridMasks

LEAKED_IMAGES = 8
SIZES = ((480, 640), (640, 480), (600, 600))


def resident_mb(field: str = "VmRSS") -> float:
    """Of this process: what it holds now, or, `VmHWM`, the most since the mark was reset."""
    return int(Path("/proc/self/status").read_text().partition(f"{field}:")[2].split()[0]) / 1024


def held_mb() -> float:
    """What this process holds, without what it has freed and the C library keeps for later: a leak would hide there."""
    ctypes.CDLL(None).malloc_trim(0)
    return resident_mb()


def reset_peak() -> None:
    """Begins to look for the most memory anew; proc(5), clear_refs."""
    Path("/proc/self/clear_refs").write_text("5")


def picture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Disks on noise: something to find, different in each image."""
    image = rng.integers(0, 60, (height, width, 3), dtype=np.uint8)
    for _ in range(rng.integers(1, 9)):
        center = int(rng.integers(width)), int(rng.integers(height))
        cv2.circle(image, center, int(rng.integers(15, 60)), rng.integers(80, 256, 3).tolist(), cv2.FILLED)
    return image


def growth(model: str, images: int, warm_up: int) -> dict[str, float]:
    """All that a program asks of the runtime, image after image; at last, it also keeps the images, as a leak would."""
    segmenter = Segmenter(model, threads=1)
    rng = np.random.default_rng(0)
    kept: list[np.ndarray] = []

    def work(number: int, leak: bool = False) -> float:
        for i in range(number):
            image = picture(rng, *SIZES[i % len(SIZES)])
            instances = segmenter.predict(image)
            instances.to_coco(i)
            instances[:3].masks()
            if leak:
                kept.append(image)
        return held_mb()

    return {"before": work(warm_up), "after": work(images), "leaked": work(LEAKED_IMAGES, leak=True)}


def peak(model: str, use: Callable[[Instances], object]) -> dict[str, float]:
    """1,000 instances, boxes of every size, on a 4K image."""
    segmenter = Segmenter(model, threads=1)
    rng = np.random.default_rng(0)
    height, width = 2160, 3840
    segmenter.predict(picture(rng, height, width))
    corners = np.sort(rng.uniform(0, 1, (1000, 2, 2)), axis=1) * (width, height)
    y, x = np.mgrid[-1:1:28j, -1:1:28j]
    masks = np.stack([1 / (1 + np.exp(9 * (np.hypot(x, y) - 0.9 * rng.random((28, 28))))) for _ in range(1000)])
    labels = np.ones(1000, np.int32)
    scores = np.linspace(1, 0, 1000, dtype=np.float32)
    boxes = corners.reshape(1000, 4).astype(np.float32)
    grid = GridMasks(masks.astype(np.float32), boxes, (height, width), segmenter.metadata.pipeline.paste)
    instances = Instances(boxes, scores, labels, grid, segmenter.class_names, (height, width))
    del masks
    before = held_mb()
    reset_peak()
    use(instances)
    return {"before": before, "peak": resident_mb("VmHWM")}


def main() -> None:
    what, model, *options = sys.argv[1:]
    if what == "growth":
        found = growth(model, *map(int, options))
    else:
        found = peak(model, {"rle": Instances.rle, "canvas": lambda instances: instances[:60].masks()}[options[0]])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
