"""Reading image files as RGB arrays, and checking arrays given in their place."""

import stat
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskrt.errors import ArgumentError, ImageError
from maskrt.runtime.cuda.arrays import is_device_array
from maskrt.runtime.images import tiff
from maskrt.runtime.images.header import HeaderError, read_header

# 600 MB once decoded. Larger files are more often an attack or a mistake than a photograph.
MAX_PIXELS = 200_000_000


_REWRITE = {"TIFF": " Write it anew, for example with `magick IN -depth 8 -compress zip OUT`."}
"""What mends files of formats that have more variants than OpenCV reads."""


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read an image file as an RGB array.

    Grey and palette images become RGB, 16-bit images keep their upper 8 bits, CMYK is converted without a
    colour profile, an alpha channel is ignored (the stored colours are taken as they are), the EXIF
    orientation is applied, and of an animation the first frame is read. Of a TIFF file the page that is the picture
    is read, see `images.tiff`; `tools/reading_audit.py` compares all this with other programs.

    Args:
        path: a JPEG, PNG, WebP, TIFF, BMP or GIF file; told by its content, not by its name.
        max_pixels: larger images are refused before anything is decoded.

    Returns:
        [H, W, 3] uint8, RGB.

    Raises:
        ImageError: the file is missing, empty, cut off, damaged, too large or not an image.
    """
    path = Path(path)
    check_file(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror or error}.") from None
    if not data:
        raise ImageError(f"{path} is empty (0 bytes).")
    try:
        header = read_header(data)
    except HeaderError as error:
        raise ImageError(f"{path} {error}.") from None
    if header.width * header.height > max_pixels:
        raise ImageError(
            f"{path} says it has {header.width}x{header.height} pixels; at most {max_pixels:,} are decoded. "
            "Make it smaller, or, if you trust the file, read it with "
            "maskrt.runtime.read_image(path, max_pixels=...) and pass the array."
        )
    if header.format == "TIFF":
        data = tiff.only(data, tiff.find_picture(data))
    try:
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    except (cv2.error, MemoryError) as error:
        reason = str(error).strip().splitlines()[-1] if str(error) else "out of memory"
        raise ImageError(f"{path} cannot be decoded as {header.format}: {reason}.") from None
    if image is None:
        raise ImageError(
            f"{path} cannot be decoded: the {header.format} data is damaged, cut off, or of a kind that "
            f"OpenCV does not read.{_REWRITE.get(header.format, '')}"
        )
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def check_file(path: Path) -> None:
    """Check that `path` is a file, without opening it: a pipe would wait for ever, a device has no end.

    Raises:
        ImageError: there is no such file, or it is none.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(f"{path}: there is no such file.") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise ImageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    if stat.S_ISDIR(mode):
        raise ImageError(f"{path} is not a file.")
    if not stat.S_ISREG(mode):
        raise ImageError(f"{path} is not a file, but a pipe, a socket or a device.")


def check_image(image: Any, *, on_gpu: bool = False) -> np.ndarray:
    """Return `image` if it is an array that can be segmented.

    Args:
        on_gpu: an array on the GPU will do, too. (Its type is checked where it is used.)

    Raises:
        ArgumentError: not a uint8 array [H, W, 3], or without pixels.
    """
    expected = "Expected an RGB image as a uint8 array of shape [height, width, 3]"
    is_array = isinstance(image, np.ndarray)
    if not is_array and not (on_gpu and is_device_array(image)):
        raise ArgumentError(f"{expected}, or the path of an image file, but got {type(image).__name__}.")
    if len(image.shape) != 3 or image.shape[2] != 3:
        raise ArgumentError(f"{expected}, but got shape {list(image.shape)}.")
    if is_array and image.dtype != np.uint8:
        raise ArgumentError(f"{expected}, but got {image.dtype}; grey levels run from 0 to 255.")
    if 0 in image.shape:
        raise ArgumentError(f"{expected}, but got an image without pixels: {list(image.shape)}.")
    return image
