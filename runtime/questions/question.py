"""A picture that somebody sent, with its thresholds, and what is taken of such pictures."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from maskrt.errors import ArgumentError, ImageError
from maskrt.runtime.images.read import ImageTooLargeError, check_image, decode_image

_NAME = "The picture"
_LONGEST_SIDE = 65_535
"""That JPEG and GIF know. A mask takes memory for each column: of millions of them, gigabytes, however low they are."""


class Question(NamedTuple):
    """A picture, as an image file or as pixels [H, W, 3] uint8 RGB, and its thresholds, 0 to 1."""

    picture: bytes | np.ndarray
    score_threshold: float
    nms_threshold: float


@dataclass(frozen=True)
class PictureLimits:
    """What is taken of pictures of strangers, in `maskrt serve`, Triton and Ray Serve alike.

    Attributes:
        max_bytes: of an image file.
        max_pixels: told by the header, before anything is decoded.
    """

    max_bytes: int = 20_000_000
    max_pixels: int = 50_000_000


def decode_picture(picture: bytes | np.ndarray, limits: PictureLimits) -> np.ndarray:
    """Return the pixels of a picture, [H, W, 3] uint8 RGB.

    Raises:
        ImageTooLargeError: it is beyond the limits, or its decoding would take too long.
        ImageError: it is no image, or damaged.
        ArgumentError: the pixels are none of an image.
    """
    image = _decode(picture, limits) if isinstance(picture, bytes) else picture
    height, width = image.shape[:2]
    if height * width > limits.max_pixels:
        raise ImageTooLargeError(f"{_NAME} has {width}x{height} pixels; at most {limits.max_pixels:,} are taken.")
    if max(height, width) > _LONGEST_SIDE:
        raise ImageTooLargeError(
            f"{_NAME} has {width}x{height} pixels; at most {_LONGEST_SIDE:,} are taken in a row or column."
        )
    return check_image(image)


def _decode(picture: bytes, limits: PictureLimits) -> np.ndarray:
    if not picture:
        raise ImageError(f"{_NAME} is empty (0 bytes).")
    if len(picture) > limits.max_bytes:
        raise ImageTooLargeError(f"{_NAME} has {len(picture):,} bytes; at most {limits.max_bytes:,} are taken.")
    return decode_image(picture, _NAME, limits.max_pixels)


def read_threshold(name: str, value: object, default: float) -> float:
    """Read a threshold, which text or a number may say; None: the model's own, `default`.

    Raises:
        ArgumentError: it is no number from 0 to 1.
    """
    if value is None:
        return default
    try:
        number = float(value)  # type: ignore[arg-type]  # what it cannot take is refused
    except (TypeError, ValueError, OverflowError):
        number = -1.0
    if isinstance(value, bool) or not 0 <= number <= 1:
        raise ArgumentError(f"{name} should be a number from 0 to 1, but is {str(value)[:50]!r}.")
    return number
