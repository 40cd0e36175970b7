"""OpenCV's INTER_LINEAR on uint8, as mmdetection resizes.

A float32 canvas holds the same grey levels: what the framework rounds is rounded.
"""

import cv2
import numpy as np

from maskrt.runtime.transforms.filters.base import Filter


def resize(image: np.ndarray, size: tuple[int, int], out: np.ndarray) -> None:
    """Resize with OpenCV's own fixed-point arithmetic, on as many threads as `cv2.setNumThreads` allows."""
    target = out if out.dtype == np.uint8 else None
    resized = cv2.resize(image, (size[1], size[0]), dst=target, interpolation=cv2.INTER_LINEAR)
    if resized is not out:  # OpenCV writes into `dst` unless it finds that it cannot
        out[...] = resized


FILTER = Filter(resize)
