"""Small files that would take long, or much memory, to decode."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np


def png_bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A PNG that says it is so large, of 60 bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def jpeg_of_scans(scans: int, size: int = 64) -> bytes:
    """A progressive JPEG that decodes, with so many scans: the last of its own again and again."""
    picture = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    own = data.count(b"\xff\xda")  # in its coded data 0xff is followed by a zero
    last = data.rindex(b"\xff\xda")
    assert data.endswith(b"\xff\xd9") and scans >= own
    return data[:-2] + data[last:-2] * (scans - own) + b"\xff\xd9"
