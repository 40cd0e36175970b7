"""COCO run-length encoding of binary masks.

A mask is read column by column (Fortran order) as alternating run lengths, zeros first. The run lengths
("counts") are then written as text: each count minus the one two before it, as a signed little-endian
number of 5-bit digits, one character (48 + digit + 32 if more digits follow) per digit. This is the format
of `rleToString` and `rleFrString` in pycocotools' maskApi.c, bit for bit.
"""

from itertools import pairwise
from typing import TypedDict

import cv2
import numpy as np

from maskrt.errors import ArgumentError

# The smallest magnitude that needs 2, 3, ... digits of 5 bits, one of which is the sign.
_DIGIT_LIMITS = np.array([1 << (5 * digits - 1) for digits in range(1, 12)], dtype=np.int64)


class RLE(TypedDict):
    """A compressed COCO mask: `size` is `[height, width]`, `counts` the encoded run lengths."""

    size: list[int]
    counts: str


def compress_counts(counts: np.ndarray, lengths: np.ndarray) -> list[str]:
    """Write the run lengths of several masks as COCO strings, in one vectorised pass.

    Args:
        counts: [sum(lengths)] int64, the run lengths of all masks one after the other, zeros first.
        lengths: [N] int64, how many run lengths each mask has (at least 1).

    Returns:
        N strings, what pycocotools' `rleToString` writes.
    """
    starts = np.cumsum(lengths) - lengths
    index = np.arange(len(counts)) - np.repeat(starts, lengths)
    deltas = counts.astype(np.int64)
    # maskApi.c takes the difference only from the fourth count on (i > 2).
    deltas[2:] -= np.where(index[2:] > 2, counts[:-2], 0)

    digits = 1 + np.searchsorted(_DIGIT_LIMITS, deltas ^ (deltas >> 63), side="right")
    ends = np.cumsum(digits)
    text = np.empty(int(ends[-1]) if len(ends) else 0, dtype=np.uint8)
    offsets = ends - digits
    for digit in range(int(digits.max(initial=0))):
        if digit:
            longer = digits > digit
            offsets, deltas, digits = offsets[longer], deltas[longer], digits[longer]
        more = (digits > digit + 1).astype(np.int64) << 5
        text[offsets + digit] = 48 + ((deltas >> (5 * digit)) & 31 | more)

    bounds = [0, *ends[np.cumsum(lengths) - 1].tolist()]
    joined = text.tobytes().decode("ascii")
    return [joined[start:end] for start, end in pairwise(bounds)]


def decompress_counts(text: str) -> np.ndarray:
    """Read a COCO string back into run lengths, int64, zeros first.

    Raises:
        ArgumentError: the text is not a COCO run-length string.
    """
    codes = np.frombuffer(text.encode("ascii", "replace"), dtype=np.uint8).astype(np.int64) - 48
    if codes.size and (codes.min() < 0 or codes.max() > 63 or codes[-1] & 32):
        raise ArgumentError("The RLE counts are damaged: not a COCO run-length string.")
    last = (codes & 32) == 0
    starts = np.flatnonzero(np.concatenate(([True], last[:-1]))) if codes.size else np.empty(0, dtype=np.int64)
    digits = np.diff(np.append(starts, codes.size))
    if digits.max(initial=0) > 12:
        raise ArgumentError("The RLE counts are damaged: a run length has more than 12 digits.")
    place = np.arange(codes.size) - np.repeat(starts, digits)
    values = np.add.reduceat((codes & 31) << (5 * place), starts) if codes.size else starts
    negative = (codes[starts + digits - 1] & 16) != 0
    values = np.where(negative, values - (np.int64(1) << (5 * digits)), values)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def counts_to_mask(counts: np.ndarray, height: int, width: int) -> np.ndarray:
    """Draw run lengths (int64, adding up to height * width, zeros first) as a bool array [height, width]."""
    if not height * width:
        return np.zeros((height, width), dtype=bool)
    values = np.zeros(len(counts), dtype=np.uint8)
    values[1::2] = 1
    return cv2.transpose(np.repeat(values, counts).reshape(width, height)).view(bool)


def area(rle: RLE) -> int:
    """Count the foreground pixels of an RLE.

    Raises:
        ArgumentError: the counts are damaged or do not add up to the size.
    """
    height, width = rle["size"]
    counts = decompress_counts(rle["counts"])
    described = sum(counts.tolist())  # of any size; int64 would overflow on damaged counts, and then fit again
    if counts.min(initial=0) < 0 or described != height * width:
        raise ArgumentError(
            f"The RLE describes {described} pixels, but its size {height}x{width} has {height * width}."
        )
    return int(counts[1::2].sum())
