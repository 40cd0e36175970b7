"""From images of any size to one zero-padded canvas, and boxes back again.

The arithmetic of torchvision's `GeneralizedRCNNTransform` (`models/detection/transform.py`). Normalisation is
part of the model file and not done here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from maskrt.contract.pipeline import Pipeline
from maskrt.runtime.transforms.bilinear import resize_float32, resize_uint8


@dataclass(frozen=True, eq=False)
class Frames:
    """Images, and the canvas that they are to be resized onto, here or by a backend that does it on the GPU.

    Attributes:
        images: [h, w, 3] uint8 RGB each; for such a backend also arrays on the GPU.
        sizes: (height, width) of each on the canvas.
        shape: (B, H, W, 3), the canvas.
        dtype: of the canvas; uint8 rounds the resized grey levels, float32 is exact.
    """

    images: Sequence[np.ndarray]
    sizes: list[tuple[int, int]]
    shape: tuple[int, int, int, int]
    dtype: np.dtype

    @cached_property
    def canvas(self) -> np.ndarray:
        """[B, H, W, 3] RGB, grey levels 0-255; zero right of and below each image. Made at the first call."""
        canvas = np.zeros(self.shape, dtype=self.dtype)
        resize = resize_uint8 if self.dtype == np.uint8 else resize_float32
        for image, size, target in zip(self.images, self.sizes, canvas, strict=True):
            resize(image, size, target[: size[0], : size[1]])
        return canvas


class Batch(NamedTuple):
    """Images ready for the model.

    Attributes:
        frames: the images and their canvas.
        image_sizes: [B, 2] int32, height and width of each resized image inside the canvas.
        original_sizes: (height, width) of each image as it was given.
    """

    frames: Frames
    image_sizes: np.ndarray
    original_sizes: list[tuple[int, int]]

    @property
    def canvas(self) -> np.ndarray:
        """[B, H, W, 3] uint8 or float32 RGB; see `Frames.canvas`."""
        return self.frames.canvas


def resized_size(height: int, width: int, min_size: int, max_size: int) -> tuple[int, int]:
    """The (height, width) that an image is resized to: the shorter side `min_size`, the longer at most
    `max_size`.

    torchvision's eager arithmetic: the scale in float64, each side rounded down. Where torchvision would
    round a side of a very long and thin image down to 0 pixels and fail, it stays 1.
    """
    scale = min(min_size / min(height, width), max_size / max(height, width))
    return max(math.floor(height * scale), 1), max(math.floor(width * scale), 1)


def make_batch(images: Sequence[np.ndarray], pipeline: Pipeline, dtype: np.dtype, *, resize: bool = True) -> Batch:
    """Resize images and lay them on one canvas.

    Args:
        images: [H, W, 3] uint8 RGB each, sizes may differ; at least one.
        pipeline: of the model.
        dtype: of the canvas; uint8 rounds the resized grey levels, float32 is exact.
        resize: False leaves the resizing to the first use of `canvas`, or to the backend.
    """
    original_sizes = [(image.shape[0], image.shape[1]) for image in images]
    sizes = [resized_size(*size, pipeline.resize.min_size, pipeline.resize.max_size) for size in original_sizes]
    divisor = pipeline.size_divisor
    height, width = (math.ceil(max(sides) / divisor) * divisor for sides in zip(*sizes, strict=True))
    frames = Frames(images, sizes, (len(images), height, width, 3), dtype)
    if resize:
        _ = frames.canvas
    return Batch(frames, np.array(sizes, dtype=np.int32), original_sizes)


def resize_boxes(boxes: np.ndarray, size: Sequence[int], new_size: Sequence[int]) -> np.ndarray:
    """Scale boxes with their image; torchvision's `resize_boxes`, in float32.

    Args:
        boxes: [N, 4] float32 xyxy in pixels of an image of (height, width) `size`.
        size, new_size: (height, width) before and after.

    Returns:
        [N, 4] float32 xyxy in pixels of an image of `new_size`.
    """
    ratio_y, ratio_x = np.asarray(new_size, dtype=np.float32) / np.asarray(size, dtype=np.float32)
    return boxes * np.array([ratio_x, ratio_y, ratio_x, ratio_y], dtype=np.float32)
