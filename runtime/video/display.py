"""How a frame is shown: the shape of its pixels, how it is turned and mirrored, its range of brightness.

These are flags beside the picture, and a viewer follows them. What cannot be followed here is refused.

Sources: ISO/IEC 14496-12 (the matrix of a track header), FFmpeg's libavutil/display.h, ITU-R BT.2100 (PQ).
"""

import struct
from fractions import Fraction
from typing import Any

import numpy as np

from maskrt.errors import VideoError

_PQ = 16  # transfer characteristics of SMPTE ST 2084 in ISO/IEC 23091-2
_STRAIGHT = 0.02  # of a turn by a multiple of 90 degrees, the entries of the matrix that should be 0
_MOST_STRETCHED = 8


def check_brightness(frame: Any, name: str) -> None:
    """Check that the numbers of a frame are those of an ordinary screen.

    Raises:
        VideoError: they are of the PQ curve of HDR, which looks grey and dull where it is taken as it is.
    """
    if int(getattr(frame, "color_trc", 0) or 0) == _PQ:
        raise VideoError(
            f"{name} is HDR (PQ), whose brightness has to be mapped to an ordinary screen's first, for example with "
            '`ffmpeg -i INPUT -vf "zscale=t=linear:npl=100,tonemap=hable,zscale=t=bt709:m=bt709:r=tv,format=yuv420p" '
            "OUTPUT.mp4`."
        )


def square_pixels(width: int, height: int, aspect: Fraction | None, name: str) -> tuple[int, int]:
    """Return the size at which a frame is shown where pixels are square: the shorter side of a pixel grows.

    Args:
        width, height: of the frame, in its own pixels.
        aspect: width of a pixel over its height; None or 0: nobody says, it is square.
        name: of the video, for the message.

    Raises:
        VideoError: no pixel has such a shape.
    """
    if not aspect or aspect == 1:
        return width, height
    if not Fraction(1, _MOST_STRETCHED) <= aspect <= _MOST_STRETCHED:
        raise VideoError(f"{name} is damaged: its pixels are said to be {aspect} times as wide as they are high.")
    if aspect > 1:
        return round(width * aspect), height
    return width, round(height / aspect)


def display_matrix(frame: Any) -> tuple[int, ...] | None:
    """Return the nine entries of a frame's display matrix, 16.16 fixed point; None where it is shown as it is."""
    for entry in frame.side_data:
        if entry.type.name == "DISPLAYMATRIX":
            return struct.unpack("=9i", bytes(entry)[:36])
    return None


def upright(image: np.ndarray, matrix: tuple[int, ...] | None, name: str) -> np.ndarray:
    """Turn and mirror an image [height, width, 3] as its display matrix says.

    The matrix maps a pixel (x, y) to (a x + c y, b x + d y), moved into the picture.

    Raises:
        VideoError: it is turned by something else than a multiple of 90 degrees.
    """
    if matrix is None:
        return image
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    largest = max(map(abs, (a, b, c, d)))
    if largest == 0:
        return image
    if max(abs(b), abs(c)) <= _STRAIGHT * largest:
        across, down = a, d
    elif max(abs(a), abs(d)) <= _STRAIGHT * largest:
        image, across, down = image.transpose(1, 0, 2), c, b
    else:
        raise VideoError(
            f"{name} is shown turned by an angle that is no multiple of 90 degrees. Convert it first: "
            "`ffmpeg -i INPUT OUTPUT.mp4`."
        )
    return np.ascontiguousarray(image[:: 1 if down > 0 else -1, :: 1 if across > 0 else -1])
