"""Images in memory, of whatever library: taken as they are, or refused with the line that mends it."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from maskrt.errors import ArgumentError
from maskrt.runtime.images.read import check_image, is_image

PICTURE = np.arange(24 * 20 * 3, dtype=np.uint8).reshape(24, 20, 3)


class Wrapped:
    """Of a library that nobody knows."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.array


@pytest.mark.parametrize(
    "image",
    [PICTURE, Image.fromarray(PICTURE), torch.from_numpy(PICTURE.copy()), Wrapped(PICTURE), np.asfortranarray(PICTURE)],
    ids=lambda image: type(image).__name__,
)
def test_taken(image: Any) -> None:
    assert is_image(image)
    np.testing.assert_array_equal(check_image(image), PICTURE)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_pil_images_become_what_a_file_of_them_would(mode: str) -> None:
    image = Image.fromarray(PICTURE).convert(mode)
    expected = np.asarray(image)[..., :3] if mode == "RGBA" else np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(check_image(image), expected)


def turned() -> Image.Image:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(PICTURE).save(file, "PNG", exif=exif)
    return Image.open(file)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.ma.masked_array(PICTURE, PICTURE > 9), r"masked array.*`image.filled\(0\)`"),
        (Image.fromarray(PICTURE[..., 0].astype(np.float32)), r"mode F, which is not 8 bits"),
        (Image.new("I", (4, 4)), r"mode I, which is not 8 bits"),
        (turned(), r"`PIL.ImageOps.exif_transpose\(image\)`"),
        (torch.zeros(3, 8, 9, dtype=torch.uint8), r"channels first.*`image.permute\(1, 2, 0\)`"),
        (torch.zeros(8, 9, 3), r"float32.*`\(image \* 255\).round\(\).byte\(\)`"),
        (torch.zeros(8, 9, 3, requires_grad=True), r"`image.detach\(\).cpu\(\).numpy\(\)`"),
        (torch.zeros(2, 8, 9, 3, dtype=torch.uint8), r"got shape \[2, 8, 9, 3\]"),
        (torch.zeros(8, 9, dtype=torch.uint8), r"got shape \[8, 9\]"),
        (torch.zeros(8, 9, 3, dtype=torch.int32), r"got int32"),
        (b"abc", r"got bytes"),
        (5, r"got int"),
        ({"a": 1}, r"got dict"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_refused(image: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        check_image(image)
