"""What is read: a file that one program can write, and what others see in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TOLERANCE = 1
"""Grey levels: conversions round differently."""

Write = Callable[[Path], None]
Read = Callable[[Path], "list[np.ndarray]"]


@dataclass(frozen=True)
class Variant:
    """A file to be read.

    Attributes:
        writer: the program that writes it.
        name: of the file; the suffix tells the program what to write.
        what: is special about it.
        write: makes the file; raises where this version of the program cannot.
        reference: reads it as others do, a picture or the frames of a video; None where only a refusal will do.
        tolerance: in grey levels, where decoders are free to differ.
    """

    writer: str
    name: str
    what: str
    write: Write
    reference: Read | None
    tolerance: int = TOLERANCE


def picture(height: int = 48, width: int = 72) -> np.ndarray:
    """Smooth colours in all directions, so that every turn, swap and shift of channels shows: [H, W, 3] uint8."""
    y, x = np.mgrid[:height, :width]
    channels = (255 * x / (width - 1), 255 * y / (height - 1), 255 * (x + y) / (height + width - 2))
    return np.stack(channels, axis=-1).round().astype(np.uint8)
