"""Bilinear resizing of RGB images, with the pixel positions of `torch.nn.functional.interpolate`.

Half-pixel centres, no antialiasing (`mode="bilinear", align_corners=False`), as torchvision's
`GeneralizedRCNNTransform` resizes.
"""

import cv2
import numpy as np

from maskrt.runtime.transforms.filters.base import Filter
from maskrt.runtime.transforms.filters.opencv_bilinear import resize as resize_uint8

# Rows interpolated at once: their temporaries, a few MB for a 4K image, stay in the cache.
_ROWS_AT_ONCE = 16


def source_coordinates(pixels: np.ndarray, scale: np.ndarray | np.float32) -> np.ndarray:
    """Find where the centres of output pixels lie in the source: torch's `area_pixel_compute_source_index`.

    torch's CPU kernels compute `scale * (i + 0.5) - 0.5` in float32 with one fused multiply-add, clamped at
    0. The float64 product of two float32 numbers is exact, so that rounding once at the end gives the same
    bits.

    Args:
        pixels: int64 output positions, any shape.
        scale: float32 source pixels per output pixel, of a shape that broadcasts.

    Returns:
        float32 source positions.
    """
    centres = np.multiply(pixels + 0.5, scale, dtype=np.float64) - 0.5
    return np.maximum(centres.astype(np.float32), np.float32(0))


def _taps(source_size: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the two source positions of each output position, and the float32 weight of the second."""
    scale = np.float32(source_size) / np.float32(size)
    source = source_coordinates(np.arange(size), scale)
    first = np.minimum(source.astype(np.int64), source_size - 1)
    second = np.minimum(first + 1, source_size - 1)
    return first, second, np.clip(source - first.astype(np.float32), np.float32(0), np.float32(1))


def resize_float32(image: np.ndarray, size: tuple[int, int], out: np.ndarray) -> None:
    """Resize exactly: float32 arithmetic, equal to torch's up to the rounding of the sums.

    cv2.resize on float32 places its samples in float64, which differs from torch's float32 positions by up to
    0.1 grey levels on a 4K image; hence the own loop.

    Args:
        image: [H, W, 3] uint8.
        size: (height, width) of the result, at least 1.
        out: [height, width, 3] float32, filled with grey levels 0-255.
    """
    top, bottom, weight_y = _taps(image.shape[0], size[0])
    left, right, weight_x = _taps(image.shape[1], size[1])
    weight_x = weight_x[:, None, None]
    for start in range(0, size[0], _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        weight = weight_y[rows, None, None]
        upper = image[top[rows]].astype(np.float32)
        upper *= np.float32(1) - weight
        lower = image[bottom[rows]] * weight
        upper += lower
        # NumPy copies a column of many pixels far faster than as many single pixels of 12 bytes.
        columns = cv2.transpose(upper)
        part = columns.take(left, axis=0)
        part *= np.float32(1) - weight_x
        second = columns.take(right, axis=0)
        second *= weight_x
        part += second
        out[rows] = cv2.transpose(part)


def resize(image: np.ndarray, size: tuple[int, int], out: np.ndarray) -> None:
    """Resize exactly into a float32 canvas, and with OpenCV into a uint8 canvas.

    OpenCV's fixed-point arithmetic is within one grey level of `resize_float32`, and faster.
    """
    if out.dtype == np.uint8:
        resize_uint8(image, size, out)
    else:
        resize_float32(image, size, out)


FILTER = Filter(resize)
