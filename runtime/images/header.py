"""What an image file says about itself, read before anything is decoded.

The decoder allocates what the header asks for and some decoders return half a picture for half a file; so the
size is read here first, and a file that ends too early is told from one that is whole.
"""

import re
import struct
import zlib
from typing import NamedTuple

from maskrt.runtime.images import tiff


class ImageHeader(NamedTuple):
    """Of an image file: the format, the stored size in pixels (before any EXIF rotation), and the scans of a JPEG."""

    format: str
    width: int
    height: int
    scans: int = 1


class HeaderError(Exception):
    """The header is damaged or the file ends too early; the message continues "<file> ..."."""


class OtherFormat(NamedTuple):
    """A format of pictures that is not read here: how its files begin, and what mends it."""

    name: str
    signature: bytes
    remedy: str


def _convert(program: str) -> str:
    return f"Convert them to JPEG or PNG first, for example with `{program}`"


_RAW = _convert("darktable-cli IN OUT.png")
_MAGICK = _convert("magick IN OUT.png")
_HEIF = _convert("heif-convert IN OUT.jpg")
_HEIC = rb"....ftyp(hei|hev|mif|msf)"
OTHER_FORMATS = {
    ".heic": OtherFormat("HEIC", _HEIC, _HEIF),
    ".heif": OtherFormat("HEIF", _HEIC, _HEIF),
    ".hif": OtherFormat("HEIF", _HEIC, _HEIF),
    ".avif": OtherFormat("AVIF", rb"....ftypavi", _HEIF),
    ".jxl": OtherFormat("JPEG XL", rb"\xff\x0a|\x00{3}\x0cJXL ", _convert("djxl IN OUT.png")),
    ".jp2": OtherFormat("JPEG 2000", rb"\x00{3}\x0cjP  |\xff\x4f\xff\x51", _MAGICK),
    ".j2k": OtherFormat("JPEG 2000", rb"\xff\x4f\xff\x51", _MAGICK),
    ".psd": OtherFormat("Photoshop", rb"8BPS", _MAGICK),
    ".exr": OtherFormat("OpenEXR", rb"v/1\x01", _MAGICK),
    ".hdr": OtherFormat("Radiance", rb"#\?R(ADIANC|GB)E", _MAGICK),
    ".ppm": OtherFormat("PPM", rb"P[36]\s", _MAGICK),
    ".pgm": OtherFormat("PGM", rb"P[25]\s", _MAGICK),
    ".tga": OtherFormat("Targa", rb"(?!)", _MAGICK),
    ".ico": OtherFormat("icon", rb"\x00\x00\x01\x00", _MAGICK),
    ".svg": OtherFormat("SVG", rb"<svg|<\?xml", _convert("rsvg-convert IN -o OUT.png")),
    ".pdf": OtherFormat("PDF", rb"%PDF", _convert("pdftoppm -png IN OUT")),
    ".dcm": OtherFormat("DICOM", rb".{128}DICM", _convert("dcm2pnm --write-png IN OUT.png")),
    ".dng": OtherFormat("raw", rb"(?!)", _RAW),  # begins as TIFF does, see `images.tiff`
    ".nef": OtherFormat("raw", rb"(?!)", _RAW),
    ".cr2": OtherFormat("raw", rb"(?!)", _RAW),
    ".arw": OtherFormat("raw", rb"(?!)", _RAW),
    ".cr3": OtherFormat("raw", rb"....ftypcrx", _RAW),
    ".raf": OtherFormat("raw", rb"FUJIFILM", _RAW),
    ".orf": OtherFormat("raw", rb"IIR[OS]|MMOR", _RAW),
    ".rw2": OtherFormat("raw", rb"IIU\x00", _RAW),
}
"""By suffix: what folders hold that is a picture, but cannot be read here."""

SUPPORTED_FORMATS = "JPEG, PNG, WebP, TIFF, BMP and GIF"
_CUT_OFF = "is cut off: the {} data ends too early"


def read_header(data: bytes) -> ImageHeader:
    """Identify an encoded image by its content and read its size.

    Args:
        data: the whole file.

    Raises:
        HeaderError: not one of `SUPPORTED_FORMATS`, a damaged header, or a file that ends too early.
    """
    for signature, name, parse in (
        (rb"\xff\xd8\xff", "JPEG", _jpeg_size),
        (rb"\x89PNG\r\n\x1a\n", "PNG", _png_size),
        (rb"RIFF....WEBP", "WebP", _webp_size),
        (rb"II[*+]\0|MM\0[*+]", "TIFF", _tiff_size),
        (rb"BM", "BMP", _bmp_size),
        (rb"GIF8[79]a", "GIF", _gif_size),
    ):
        if re.match(signature, data, re.DOTALL):
            try:
                width, height, *scans = parse(data)
            except (struct.error, OverflowError):  # an offset beyond the end, or beyond any end
                raise HeaderError(_CUT_OFF.format(name)) from None
            if width < 1 or height < 1:
                raise HeaderError(f"is a damaged {name} file: its header says {width}x{height} pixels")
            return ImageHeader(name, width, height, *scans)
    for other in OTHER_FORMATS.values():
        if re.match(other.signature, data[:200], re.DOTALL):
            raise HeaderError(
                f"is not an image that can be read here, but {other.name} (supported: {SUPPORTED_FORMATS}). "
                f"{other.remedy}"
            )
    raise HeaderError(f"is not an image that can be read here (supported: {SUPPORTED_FORMATS})")


# Markers that are not followed by a segment length: stuffed zero bytes, fill bytes, restarts, TEM.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]")
_JPEG_NOT_A_FRAME = {0xC4, 0xC8, 0xCC}  # DHT, JPG, DAC lie among the frame headers SOF0 ... SOF15


def _jpeg_size(data: bytes) -> tuple[int, int, int]:
    """Walk the segments (so that an EXIF thumbnail is passed over) to the end-of-image marker; the scans come last."""
    size, scans = None, 0
    position = 2
    while marker := _JPEG_MARKER.search(data, position):
        code = data[marker.end() - 1]
        if code == 0xD9:
            if size is None:
                raise HeaderError("is a damaged JPEG file: it has no frame header")
            return *size, scans
        (length,) = struct.unpack_from(">H", data, marker.end())
        if 0xC0 <= code <= 0xCF and code not in _JPEG_NOT_A_FRAME and size is None:
            height, width = struct.unpack_from(">HH", data, marker.end() + 3)
            size = width, height
        scans += code == 0xDA
        position = marker.end() + length
    raise HeaderError(_CUT_OFF.format("JPEG"))


def _png_size(data: bytes) -> tuple[int, int]:
    """Walk the chunks, checking their CRCs, to the end chunk."""
    position, size = 8, None
    while True:
        length, kind = struct.unpack_from(">I4s", data, position)
        (crc,) = struct.unpack_from(">I", data, position + 8 + length)
        # The first letter of a chunk's name is a capital if the picture cannot be shown without it.
        if kind[:1].isupper() and zlib.crc32(memoryview(data)[position + 4 : position + 8 + length]) != crc:
            name = ascii(kind.decode("latin-1"))  # damaged names may hold control characters
            raise HeaderError(f"is a damaged PNG file: the checksum of its {name} chunk is wrong")
        if size is None:
            if kind != b"IHDR":
                raise HeaderError("is a damaged PNG file: it does not begin with a header chunk")
            size = struct.unpack_from(">II", data, position + 8)
        if kind == b"IEND":
            return size
        position += 12 + length


def _webp_size(data: bytes) -> tuple[int, int]:
    (length,) = struct.unpack_from("<I", data, 4)
    if len(data) < length + 8:
        raise HeaderError(_CUT_OFF.format("WebP"))
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        return width, height
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise HeaderError("is a damaged WebP file: it has no picture chunk")


def _tiff_size(data: bytes) -> tuple[int, int]:
    """Find the page that is the picture, of classic TIFF and BigTIFF."""
    try:
        return tiff.find_picture(data).size
    except tiff.TiffError as error:
        raise HeaderError(str(error)) from None


def _bmp_size(data: bytes) -> tuple[int, int]:
    (header_size,) = struct.unpack_from("<I", data, 14)
    if header_size == 12:  # the header of OS/2
        width, height = struct.unpack_from("<HH", data, 18)
        return width, height
    width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)  # negative: stored top down


def _gif_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height
