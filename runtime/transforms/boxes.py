"""Boxes from the pixels of one image size to those of another, and into the image. All of it in float32."""

from collections.abc import Sequence

import numpy as np


def resize_boxes(boxes: np.ndarray, size: Sequence[int], new_size: Sequence[int]) -> np.ndarray:
    """Multiply boxes with the ratio of the sizes: torchvision's `resize_boxes`, detectron2's `detector_postprocess`.

    Args:
        boxes: [N, 4] float32 xyxy in pixels of an image of (height, width) `size`.
        size, new_size: (height, width) before and after.

    Returns:
        [N, 4] float32 xyxy in pixels of an image of `new_size`.
    """
    return boxes * _ratios(new_size, size)


def resize_keypoints(keypoints: np.ndarray, size: Sequence[int], new_size: Sequence[int]) -> np.ndarray:
    """Multiply keypoints [N, K, 3] with the ratio of the sizes, but for their scores; torchvision's, detectron2's."""
    return keypoints * np.append(_ratios(new_size, size)[:2], np.float32(1))


def resize_boxes_by_division(boxes: np.ndarray, size: Sequence[int], new_size: Sequence[int]) -> np.ndarray:
    """Divide boxes by the ratio of the sizes: mmdetection's, which differs from `resize_boxes` in the last bit."""
    return boxes / _ratios(size, new_size)


def clip(boxes: np.ndarray, image_size: Sequence[int]) -> np.ndarray:
    """Cut boxes [N, 4] at the border of an image of (height, width)."""
    height, width = image_size
    return np.clip(boxes, np.float32(0), np.array([width, height, width, height], dtype=np.float32))


def have_area(boxes: np.ndarray) -> np.ndarray:
    """Tell, [N] bool, whether a box is more than 0 pixels wide and high."""
    return (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])


def _ratios(numerator: Sequence[int], denominator: Sequence[int]) -> np.ndarray:
    """Compute the ratios of widths and heights, [4] float32, in the order of a box's coordinates."""
    y, x = np.asarray(numerator, dtype=np.float32) / np.asarray(denominator, dtype=np.float32)
    return np.array([x, y, x, y], dtype=np.float32)
