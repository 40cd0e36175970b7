"""Pillow's BILINEAR written out with NumPy, by the rules of its `Resample.c`."""

import math

import numpy as np

BITS = 22  # of the fraction of a weight


def weights(source_size: int, size: int) -> np.ndarray:
    """[size, source_size] int64: what each output pixel is the weighted sum of."""
    result = np.zeros((size, source_size), dtype=np.int64)
    scale = source_size / size
    reach = max(scale, 1.0)
    for o in range(size):
        centre = (o + 0.5) * scale
        first, end = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), source_size)
        triangle = [max(0.0, 1 - abs((i - centre + 0.5) / reach)) for i in range(first, end)]
        total = sum(triangle)
        result[o, first:end] = [math.floor(weight / total * (1 << BITS) + 0.5) for weight in triangle]
    return result


def by_the_rules(image: np.ndarray, size: tuple[int, int], order: tuple[int, int]) -> np.ndarray:
    """Along one axis, then along the other, rounded to uint8 each time; a side that keeps its length is left alone."""
    for axis in order:
        if image.shape[axis] != size[axis]:
            total = np.moveaxis(np.tensordot(weights(image.shape[axis], size[axis]), image, (1, axis)), 0, axis)
            image = np.clip((total + (1 << (BITS - 1))) >> BITS, 0, 255).astype(np.uint8)
    return image
