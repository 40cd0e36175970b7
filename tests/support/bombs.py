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


def tiled_tiff(side: int, tile: int) -> bytes:
    """A black TIFF of so many pixels a side, in one compressed tile, which may be larger."""
    compressor = zlib.compressobj(1)
    row = bytes(3 * tile)
    data = b"".join(compressor.compress(row) for _ in range(tile)) + compressor.flush()
    tags = ((256, side), (257, side), (258, 0), (259, 8), (262, 2), (277, 3), (284, 1), (322, tile), (323, tile))
    end = 8 + 2 + 12 * (len(tags) + 2) + 4
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags]
    entries[2] = struct.pack("<HHII", 258, 3, 3, end)
    entries += [struct.pack("<HHII", 324, 4, 1, end + 6), struct.pack("<HHII", 325, 4, 1, len(data))]
    head = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    return head + b"".join(entries) + bytes(4) + struct.pack("<3H", 8, 8, 8) + data


def jpeg_of_scans(scans: int, size: int = 64) -> bytes:
    """A progressive JPEG that decodes, with so many scans: the last of its own again and again."""
    picture = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    own = data.count(b"\xff\xda")  # in its coded data 0xff is followed by a zero
    last = data.rindex(b"\xff\xda")
    assert data.endswith(b"\xff\xd9") and scans >= own
    return data[:-2] + data[last:-2] * (scans - own) + b"\xff\xd9"
