"""Damaged copies of a file: what disks, networks, editors and attackers do to one."""

import struct
import zlib
from collections.abc import Callable, Sequence

import numpy as np

# The values at which sizes, counts and offsets go wrong.
_EXTREMES = (0, 1, 2**7, 2**8 - 1, 2**15 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
# Headers and directories; damage there reaches further than damage among pixels.
_HEADER_SIZES = (24, 64, 600)


class Mutator:
    """Makes damaged copies of `data`; the same number gives the same copy.

    Args:
        data: the whole file.
        seed: of all copies.
        regions: (start, end) offsets where half of the damage is done, e.g. all but a model's weights. By default
            the file's first bytes.
    """

    def __init__(self, data: bytes, seed: Sequence[int], regions: Sequence[tuple[int, int]] | None = None) -> None:
        self._data = data
        self._seed = tuple(seed)
        self._regions = regions or [(0, min(size, len(data))) for size in _HEADER_SIZES]

    def __call__(self, number: int) -> bytes:
        """The damaged copy of that number; it differs from the file."""
        rng = np.random.default_rng([*self._seed, number])
        while True:
            copy = bytearray(self._data)
            for _ in range(rng.choice([1, 1, 1, 2, 4])):
                if copy:
                    _DAMAGES[rng.integers(len(_DAMAGES))](copy, self._place(rng, len(copy)), rng)
            if copy.startswith(b"\x89PNG") and rng.random() < 0.7:
                _mend_checksums(copy)
            if copy != self._data:
                return bytes(copy)

    def _place(self, rng: np.random.Generator, length: int) -> int:
        if rng.random() < 0.5:
            return int(rng.integers(length))
        start, end = self._regions[rng.integers(len(self._regions))]
        return int(min(rng.integers(start, max(end, start + 1)), length - 1))


def _flip_bits(data: bytearray, at: int, rng: np.random.Generator) -> None:
    for offset in rng.integers(0, 16, rng.integers(1, 5)):
        if at + offset < len(data):
            data[at + offset] ^= 1 << rng.integers(8)


def _overwrite(data: bytearray, at: int, rng: np.random.Generator) -> None:
    junk = rng.bytes(int(rng.choice([1, 2, 8, 100])))
    data[at : at + len(junk)] = junk[: len(data) - at]


def _write_extreme(data: bytearray, at: int, rng: np.random.Generator) -> None:
    width, order = int(rng.choice([1, 2, 4, 8])), rng.choice(["little", "big"])
    value = _EXTREMES[rng.integers(len(_EXTREMES))] % 2 ** (8 * width)
    data[at : at + width] = value.to_bytes(width, order)[: len(data) - at]


def _truncate(data: bytearray, at: int, rng: np.random.Generator) -> None:
    del data[at:]


def _delete(data: bytearray, at: int, rng: np.random.Generator) -> None:
    del data[at : at + _chunk_length(rng)]


def _duplicate(data: bytearray, at: int, rng: np.random.Generator) -> None:
    data[at:at] = data[at : at + _chunk_length(rng)]


def _zero(data: bytearray, at: int, rng: np.random.Generator) -> None:
    length = min(_chunk_length(rng), len(data) - at)
    data[at : at + length] = bytes(length)


def _chunk_length(rng: np.random.Generator) -> int:
    return int(2 ** rng.uniform(0, 13))


_DAMAGES: tuple[Callable[[bytearray, int, np.random.Generator], None], ...] = (
    _flip_bits,
    _flip_bits,
    _overwrite,
    _write_extreme,
    _write_extreme,
    _truncate,
    _delete,
    _duplicate,
    _zero,
)


def _mend_checksums(png: bytearray) -> None:
    """Makes the chunks' checksums right again, so that the damage gets past them and into the decoder."""
    position = 8
    while position + 12 <= len(png):
        (length,) = struct.unpack_from(">I", png, position)
        end = position + 8 + length
        if end + 4 > len(png):
            return
        struct.pack_into(">I", png, end, zlib.crc32(png[position + 4 : end]))
        position = end + 4
