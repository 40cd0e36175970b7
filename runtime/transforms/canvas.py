"""From images of any size to one zero-padded canvas, and boxes back again.

By the arithmetic of the model's framework, which the model file names. Normalisation is part of the model file and not
done here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from maskrt.contract.pipeline import Filter, Pipeline
from maskrt.runtime.transforms.boxes import clip, have_area
from maskrt.runtime.transforms.filters.registry import FILTERS
from maskrt.runtime.transforms.sizes.registry import SIZE_RULES


@dataclass(frozen=True, eq=False)
class Frames:
    """Images, and the canvas that they are to be resized onto, here or by a backend that does it on the GPU.

    Attributes:
        images: [h, w, 3] uint8 RGB each; for such a backend also arrays on the GPU.
        sizes: (height, width) of each on the canvas.
        shape: (B, H, W, 3), the canvas.
        dtype: of the canvas; uint8 rounds the resized grey levels, float32 holds them as the filter gives them.
        filter: a name of `contract.pipeline.FILTERS`.
    """

    images: Sequence[np.ndarray]
    sizes: list[tuple[int, int]]
    shape: tuple[int, int, int, int]
    dtype: np.dtype
    filter: Filter

    @cached_property
    def canvas(self) -> np.ndarray:
        """[B, H, W, 3] RGB, grey levels 0-255; zero right of and below each image. Made at the first call."""
        canvas = np.zeros(self.shape, dtype=self.dtype)
        resize = FILTERS[self.filter].resize
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


def make_batch(images: Sequence[np.ndarray], pipeline: Pipeline, dtype: np.dtype, *, resize: bool = True) -> Batch:
    """Resize images and lay them on one canvas.

    Args:
        images: [H, W, 3] uint8 RGB each, sizes may differ; at least one.
        pipeline: of the model.
        dtype: of the canvas, as in `Frames`.
        resize: False leaves the resizing to the first use of `canvas`, or to the backend.
    """
    original_sizes = [(image.shape[0], image.shape[1]) for image in images]
    new_size = SIZE_RULES[pipeline.resize.rule].new_size
    sizes = [new_size(*size, pipeline.resize) for size in original_sizes]
    divisor = pipeline.size_divisor
    height, width = (math.ceil(max(sides) / divisor) * divisor for sides in zip(*sizes, strict=True))
    frames = Frames(images, sizes, (len(images), height, width, 3), dtype, pipeline.resize.filter)
    if resize:
        _ = frames.canvas
    return Batch(frames, np.array(sizes, dtype=np.int32), original_sizes)


def join_batches(batches: Sequence[Batch]) -> Batch:
    """Lay the images of several batches on one canvas.

    Args:
        batches: whose canvases have one height and width, so that no image gets another padding than it had.

    Raises:
        ValueError: their heights, widths or types differ.
    """
    first = batches[0].frames
    layouts = {(batch.frames.shape[1:], batch.frames.dtype, batch.frames.filter) for batch in batches}
    if len(layouts) > 1:
        raise ValueError(f"canvases of {len(layouts)} kinds cannot be joined")
    images = [image for batch in batches for image in batch.frames.images]
    sizes = [size for batch in batches for size in batch.frames.sizes]
    frames = Frames(images, sizes, (len(images), *first.shape[1:]), first.dtype, first.filter)
    if all("canvas" in vars(batch.frames) for batch in batches):  # they are made: nothing is resized again
        vars(frames)["canvas"] = np.concatenate([batch.canvas for batch in batches])
    original_sizes = [size for batch in batches for size in batch.original_sizes]
    return Batch(frames, np.concatenate([batch.image_sizes for batch in batches]), original_sizes)


def boxes_back(
    boxes: np.ndarray, size: Sequence[int], original_size: tuple[int, int], pipeline: Pipeline
) -> tuple[np.ndarray, np.ndarray]:
    """Bring boxes from the canvas to the image.

    Args:
        boxes: [N, 4] float32 xyxy, canvas pixels.
        size, original_size: (height, width) of the image on the canvas, and as it was given.
        pipeline: of the model.

    Returns:
        [N, 4] float32 xyxy in pixels of the image, and [N] bool: the instances that are to stay.
    """
    boxes = SIZE_RULES[pipeline.resize.rule].boxes_back(boxes, size, original_size)
    if pipeline.boxes.clip:
        boxes = clip(boxes, original_size)
    return boxes, have_area(boxes) if pipeline.boxes.drop_empty else np.ones(len(boxes), dtype=bool)
