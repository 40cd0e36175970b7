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
from maskrt.runtime.images.opencv_log import silent

# 600 MB once decoded. Larger files are more often an attack or a mistake than a photograph.
MAX_PIXELS = 200_000_000

_MAX_SCANS = 100
"""Of a JPEG: each goes over all pixels, so that a small file of thousands would keep a core busy for minutes. Encoders
write some ten."""


class ImageTooLargeError(ImageError):
    """An image has more pixels than are decoded, or its decoding would take too long."""


class _TooManyScansError(ImageTooLargeError):
    """More pixels would not help."""


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
        return decode_image(data, str(path), max_pixels)
    except _TooManyScansError:
        raise
    except ImageTooLargeError as error:
        raise ImageTooLargeError(
            f"{error} Make it smaller, or, if you trust the file, read it with "
            "maskrt.runtime.read_image(path, max_pixels=...) and pass the array."
        ) from None


def decode_image(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode an image file that is in memory; see `read_image`.

    Args:
        data: the whole file.
        name: of the image, for the messages.
        max_pixels: larger images are refused before anything is decoded.

    Raises:
        ImageTooLargeError: it has more pixels, or too many scans.
        ImageError: it is cut off, damaged or not an image.
    """
    try:
        header = read_header(data)
    except HeaderError as error:
        raise ImageError(f"{name} {error}.") from None
    if header.width * header.height > max_pixels:
        raise ImageTooLargeError(
            f"{name} says it has {header.width}x{header.height} pixels; at most {max_pixels:,} are decoded."
        )
    if header.scans > _MAX_SCANS:
        raise _TooManyScansError(
            f"{name} is a JPEG of {header.scans:,} scans; at most {_MAX_SCANS} are decoded. Write it anew with fewer."
        )
    if header.format == "TIFF":
        data = tiff.only(data, tiff.find_picture(data))
    try:
        with silent():
            image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    except (cv2.error, MemoryError) as error:
        reason = str(error).strip().splitlines()[-1] if str(error) else "out of memory"
        raise ImageError(f"{name} cannot be decoded as {header.format}: {reason}.") from None
    if image is None:
        raise ImageError(
            f"{name} cannot be decoded: the {header.format} data is damaged, cut off, or of a kind that "
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


def is_image(value: object) -> bool:
    """Tell whether a value is one image in memory: an array, a tensor, a PIL image; by its attributes, not its type."""
    return _becomes_array(value) or hasattr(value, "__cuda_array_interface__")  # all that PyCUDA's and Numba's have


def _becomes_array(value: object) -> bool:
    return any(hasattr(value, name) for name in ("__array__", "__array_interface__", "__dlpack_device__"))


def as_array(image: Any) -> Any:
    """Return a PIL image, or a tensor in the memory of the CPU, as an array; anything else as it is.

    Neither library is imported for that.

    Raises:
        ArgumentError: a masked array, a PIL image of other than 8 bits or that is to be turned, a tensor that keeps its
            values to itself.
    """
    if isinstance(image, np.ma.MaskedArray):
        raise ArgumentError(
            "The image is a masked array, whose masked pixels have no colour. Fill them: `image.filled(0)`."
        )
    if isinstance(image, np.ndarray) or not _becomes_array(image):
        return image
    if type(image).__module__.startswith("PIL."):
        return _from_pil(image)
    try:
        array = np.asarray(image)
    except Exception as error:  # each library has its own
        reason = str(error).strip().partition("\n")[0]
        raise ArgumentError(
            f"The image is a {type(image).__name__} that does not become an array ({reason}). Give it as one, for "
            "example `image.detach().cpu().numpy()` in torch."
        ) from None
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] != 3:
        raise ArgumentError(
            f"The image is a {type(image).__name__} of shape {list(array.shape)}, channels first. Expected [height, "
            "width, 3]: `image.permute(1, 2, 0)` in torch."
        )
    if array.ndim == 3 and array.dtype.kind == "f":
        raise ArgumentError(
            f"The image is a {type(image).__name__} of {array.dtype}. Expected uint8, grey levels from 0 to 255: "
            "`(image * 255).round().byte()` in torch, where they run from 0 to 1."
        )
    return array


def _from_pil(image: Any) -> np.ndarray:
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"):
        raise ArgumentError(
            f"The PIL image has the mode {image.mode}, which is not 8 bits a channel. Convert it to RGB, knowing its "
            "range, or give the path of the file."
        )
    if image.getexif().get(0x0112, 1) not in (0, 1):
        raise ArgumentError(
            "The PIL image is to be turned, as its EXIF orientation says. Turn it: "
            "`PIL.ImageOps.exif_transpose(image)`, or give the path of the file."
        )
    if image.mode == "RGBA":  # the stored colours, as of files
        return np.ascontiguousarray(np.asarray(image)[..., :3])
    return np.asarray(image.convert("RGB"))


def check_image(image: Any, *, on_gpu: bool = False) -> np.ndarray:
    """Return `image` as an array that can be segmented; PIL images and tensors become one, see `as_array`.

    Args:
        on_gpu: an array on the GPU will do, too. (Its type is checked where it is used.)

    Raises:
        ArgumentError: not a uint8 array [H, W, 3], or without pixels.
    """
    if not (on_gpu and is_device_array(image)):
        image = as_array(image)
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
