"""The directories of a TIFF file: which of its pages is the picture, and whether its samples are grey levels.

TIFF is a container. A camera's raw file begins with a thumbnail, marked as such; a pyramid holds one picture in several
sizes, a stack many of one size; samples may be signed or floating point, where nobody says what is black and what is
white. A decoder that reads the first page, whatever it is, gives a plausible picture of the wrong thing.

Sources: TIFF Revision 6.0 (Aldus, 1992), its Technical Note 1 (SubIFDs), the Digital Negative Specification (Adobe),
and libtiff's BigTIFF design.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES = 256, 257, 258, 262, 277
_SUBFILE, _EXTRA, _FORMAT, _SUB_DIRECTORIES, _DNG_VERSION = 254, 338, 339, 330, 50706
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_READ = {
    *(_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES, _SUBFILE, _EXTRA, _FORMAT, _SUB_DIRECTORIES, _DNG_VERSION),
    *(_TILE_WIDTH, _TILE_HEIGHT),
}

_TYPES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}  # BYTE, SHORT, LONG, IFD, LONG8, IFD8
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_COLOURS = {0: "white is zero", 1: "black is zero", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr"}
_SAMPLE_COUNTS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3}  # without alpha
_RAW = {32803, 34892}  # colour filter array, and linear raw
_OTHERS = {4: "a transparency mask", 8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*", 32844: "LogL", 32845: "LogLuv"}
_FORMATS = {2: "signed integers", 3: "floating point numbers", 5: "complex integers", 6: "complex numbers"}
_UNASSOCIATED_ALPHA, _ASSOCIATED_ALPHA = 2, 1
_LARGEST_TILE = 4096 * 4096
"""Pixels of a tile, beyond which it may be no larger than the picture: a decoder holds tiles whole, whatever stands out
of the picture, so that few bytes would take gigabytes. Writers take 256 or 512 a side."""
_MAX_ENTRIES = 50_000  # in all directories together; a real file has some dozens in each


class TiffError(Exception):
    """The file is damaged or holds no picture that can be shown as it is; the message continues "<file> ..."."""


@dataclass(frozen=True)
class Page:
    """A directory of the file.

    Attributes:
        offset: of the directory.
        number: of the page, from 1; None for one that belongs to another page.
        tags: the values of those that are looked at here, and where they lie in the file.
    """

    offset: int
    number: int | None
    tags: dict[int, tuple[tuple[int, ...], int]]

    def values(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Return the values of a tag."""
        return self.tags[tag][0] if tag in self.tags else default

    def value(self, tag: int, default: int = 0) -> int:
        """Return the first value of a tag."""
        return next(iter(self.values(tag)), default)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.value(_WIDTH), self.value(_HEIGHT)

    @property
    def area(self) -> int:
        """In pixels."""
        return self.size[0] * self.size[1]

    def __str__(self) -> str:
        place = f"page {self.number}" if self.number else "an inner page"
        reduced = ", a thumbnail" if self.value(_SUBFILE) & _REDUCED else ""
        return f"{place} ({self.size[0]}x{self.size[1]}{reduced})"


def find_picture(data: bytes) -> Page:
    """Find the page that is the picture: the only one, or the one that is much larger than the others.

    Pages that are marked as thumbnails or masks do not count, unless there are no others.

    Raises:
        TiffError: there is no such page, the file is a camera's raw data, or its samples are no grey levels.
        struct.error, OverflowError: an offset leads beyond the end of the file.
    """
    pages = list(_pages(data))
    if not pages:
        raise TiffError("is a damaged TIFF file: it has no directory")
    for page in pages:
        if page.area == 0:
            raise TiffError("is a damaged TIFF file: a directory does not say how large its page is")
    if data[8:10] == b"CR" or any(_is_raw(page) for page in pages):
        raise TiffError(
            f"is the raw data of a camera, {_list(pages)}. Develop it to a JPEG, PNG or 8-bit TIFF first, for example "
            "with `rawpy`, darktable or the camera's own program"
        )
    whole = [page for page in pages if not page.value(_SUBFILE) & (_REDUCED | _MASK)] or pages
    largest = max(whole, key=lambda page: page.area)
    if any(page is not largest and 4 * page.area > largest.area for page in whole):
        raise TiffError(
            f"holds several pictures, {_list(whole)}. Write each to a file of its own, for example with "
            "`tiffsplit FILE` or `magick FILE page-%d.tif`"
        )
    _check_samples(largest)
    tile = largest.value(_TILE_WIDTH), largest.value(_TILE_HEIGHT)
    if tile[0] * tile[1] > max(largest.area, _LARGEST_TILE):
        raise TiffError(f"holds {largest} in tiles of {tile[0]}x{tile[1]} pixels, which are too large to be decoded")
    return largest


def only(data: bytes, page: Page) -> bytes:
    """Return the file with this page in front, its colours as they are stored.

    Decoders read the page in front; libtiff multiplies colours by an alpha channel that is not yet in them.
    """
    order, big = _order(data), _is_big(data)
    changed = bytearray(data)
    struct.pack_into(order + ("Q" if big else "I"), changed, 8 if big else 4, page.offset)
    values, position = page.tags.get(_EXTRA, ((), 0))
    for index, value in enumerate(values):
        if value == _UNASSOCIATED_ALPHA:
            struct.pack_into(order + "H", changed, position + 2 * index, _ASSOCIATED_ALPHA)
    return bytes(changed)


def _check_samples(page: Page) -> None:
    colour = page.value(_PHOTOMETRIC, -1)
    if colour not in _COLOURS:
        name = _OTHERS.get(colour, f"of the kind {colour}")
        raise TiffError(
            f"has colours that cannot be read here ({name}). Convert it to RGB: `magick IN -colorspace sRGB OUT`"
        )
    for value in page.values(_FORMAT):
        if value in _FORMATS:
            raise TiffError(
                f"has {_FORMATS[value]} as samples, of which only its maker knows what is black and what is white. "
                "Scale it to 8 bits first"
            )
    bits = set(page.values(_BITS, (1,)))
    if len(bits) != 1 or not bits <= {1, 2, 4, 8, 16}:
        shown = ", ".join(map(str, sorted(bits)))
        raise TiffError(
            f"has samples of {shown} bits; 1, 2, 4, 8 and 16 can be read. Convert it to 8 bits, for example with "
            "`magick IN -depth 8 OUT`"
        )
    count = page.value(_SAMPLES, 1)
    extra = count - _SAMPLE_COUNTS[colour]
    if not 0 <= extra <= 1:
        raise TiffError(
            f"has {count} samples per pixel; expected {_SAMPLE_COUNTS[colour]} for {_COLOURS[colour]}, and at most "
            "one of alpha. Choose the bands that are the picture first"
        )


def _is_raw(page: Page) -> bool:
    return page.value(_PHOTOMETRIC) in _RAW or _DNG_VERSION in page.tags


def _list(pages: list[Page]) -> str:
    shown = ", ".join(map(str, pages[:4]))
    return f"{shown} and {len(pages) - 4} more" if len(pages) > 4 else shown


def _pages(data: bytes) -> Iterator[Page]:
    """Yield the pages of the chain, each with those that belong to it."""
    order, big = _order(data), _is_big(data)
    (position,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    seen: set[int] = set()
    left = _MAX_ENTRIES
    number = 0
    while position:
        number += 1
        queue: list[tuple[int, int | None]] = [(position, number)]
        following = 0
        while queue:
            offset, own_number = queue.pop(0)
            if offset in seen:
                raise TiffError("is a damaged TIFF file: its directories lead in a circle")
            seen.add(offset)
            page, entries, behind = _directory(data, offset, own_number, order, big)
            left -= entries + 1
            if left < 0:
                raise TiffError("is a damaged TIFF file, or one with more directories than any picture has")
            yield page
            if own_number is not None:
                following = behind
                queue += [(inner, None) for inner in page.values(_SUB_DIRECTORIES) if inner]
        position = following


def _directory(data: bytes, offset: int, number: int | None, order: str, big: bool) -> tuple[Page, int, int]:
    """Read a directory: the page, its number of entries, and where the next one lies."""
    count_format, entry_format, value_size = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
    (count,) = struct.unpack_from(order + count_format, data, offset)
    if count > _MAX_ENTRIES:
        raise TiffError("is a damaged TIFF file, or one with more directories than any picture has")
    head = struct.calcsize(order + entry_format)
    first = offset + struct.calcsize(order + count_format)
    tags: dict[int, tuple[tuple[int, ...], int]] = {}
    for entry in range(count):
        at = first + entry * (head + value_size)
        tag, kind, length = struct.unpack_from(order + entry_format, data, at)
        if tag not in _READ or tag in tags or length > _MAX_ENTRIES:  # the first counts, as in libtiff
            continue
        letter = _TYPES.get(kind)
        if letter is None or (tag == _EXTRA and letter != "H"):
            if tag in (_WIDTH, _HEIGHT):
                raise TiffError("is a damaged TIFF file: its size is not a whole number")
            continue
        position = at + head
        if length * struct.calcsize(letter) > value_size:
            (position,) = struct.unpack_from(order + ("Q" if big else "I"), data, position)
        tags[tag] = struct.unpack_from(f"{order}{length}{letter}", data, position), position
    (following,) = struct.unpack_from(order + ("Q" if big else "I"), data, first + count * (head + value_size))
    return Page(offset, number, tags), count, following


def _order(data: bytes) -> str:
    return "<" if data[:2] == b"II" else ">"


def _is_big(data: bytes) -> bool:
    return bool(struct.unpack_from(_order(data) + "H", data, 2)[0] == 43)
