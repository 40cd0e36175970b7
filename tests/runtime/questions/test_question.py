"""What is taken of pictures of strangers."""

from __future__ import annotations

import numpy as np
import pytest

from maskrt.errors import ArgumentError, ImageError
from maskrt.runtime.images.read import ImageTooLargeError
from maskrt.runtime.questions.question import PictureLimits, decode_picture, read_threshold

from ...support.bombs import jpeg_of_scans, png_bomb
from ...support.served import png

SMALL = PictureLimits(max_bytes=100_000, max_pixels=5_000)


def test_what_is_within_the_limits() -> None:
    pixels = np.zeros((50, 100, 3), np.uint8)
    assert decode_picture(pixels, SMALL) is pixels
    assert decode_picture(png(50, 100), SMALL).shape == (50, 100, 3)


@pytest.mark.parametrize(
    ("picture", "error", "sentence"),
    [
        (png(51, 100), ImageTooLargeError, "The picture says it has 100x51 pixels; at most 5,000 are decoded"),
        (png_bomb(), ImageTooLargeError, "The picture says it has 60000x60000 pixels; at most 5,000"),
        (np.zeros((51, 100, 3), np.uint8), ImageTooLargeError, "The picture has 100x51 pixels; at most 5,000"),
        (png() + b"x" * 100_000, ImageTooLargeError, "bytes; at most 100,000 are taken"),
        (jpeg_of_scans(101), ImageTooLargeError, "The picture is a JPEG of 101 scans; at most 100 are decoded"),
        (b"", ImageError, r"The picture is empty \(0 bytes\)"),
        (b"no picture", ImageError, "The picture is not an image"),
        (np.zeros((0, 100, 3), np.uint8), ArgumentError, "without pixels"),
    ],
    ids=["pixels", "bomb", "array", "bytes", "scans", "empty", "text", "none"],
)
def test_what_is_refused(picture: bytes | np.ndarray, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        decode_picture(picture, SMALL)


@pytest.mark.parametrize("picture", [np.zeros((65_536, 1, 3), np.uint8), png(65_536, 1)], ids=["array", "png"])
def test_a_side_that_is_too_long(picture: bytes | np.ndarray) -> None:
    with pytest.raises(ImageTooLargeError, match="has 1x65536 pixels; at most 65,535 are taken in a row or column"):
        decode_picture(picture, PictureLimits())


def test_thresholds() -> None:
    assert read_threshold("score_threshold", None, 0.3) == 0.3
    assert [read_threshold("score_threshold", value, 0.3) for value in (0, 1.0, "0.5")] == [0, 1, 0.5]
    for value in (True, -0.1, 1.1, float("nan"), "x", "", [0.5], 10**400):
        with pytest.raises(ArgumentError, match="score_threshold should be a number from 0 to 1, but is"):
            read_threshold("score_threshold", value, 0.3)
