import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskrt.runtime.images.header import HeaderError, read_header

from ...support.bombs import jpeg_of_scans

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("BMP", {}),
    ("GIF", {}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("WEBP", {"exif": b"Exif\0\0"}),  # the extended format
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"big_tiff": True}),
]


def encode(width: int, height: int, kind: str, **options: Any) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_size_is_read_from_the_header(kind: str, options: dict[str, Any]) -> None:
    header = read_header(encode(67, 45, kind, **options))
    assert (header.format.upper(), header.width, header.height) == (kind, 67, 45)


@pytest.mark.parametrize("mode", ["I;16B", "L"])
def test_big_endian_tiff(mode: str) -> None:
    file = io.BytesIO()
    Image.new(mode, (67, 45)).save(file, "TIFF")
    header = read_header(file.getvalue())
    assert (header.width, header.height) == (67, 45)


def test_bmp_stored_top_down() -> None:
    data = bytearray(encode(67, 45, "BMP"))
    data[22:26] = struct.pack("<i", -45)
    assert read_header(bytes(data)).height == 45


def test_jpeg_thumbnail_is_passed_over() -> None:
    """A thumbnail in the EXIF data has a frame header and an end marker of its own."""
    thumbnail = encode(16, 12, "JPEG")
    segment = b"Exif\0\0" + thumbnail
    image = encode(67, 45, "JPEG")
    data = image[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + image[2:]
    header = read_header(data)
    assert (header.width, header.height) == (67, 45)
    with pytest.raises(HeaderError, match="cut off"):
        read_header(data[: len(data) - 100])


def test_bytes_after_the_end_marker_do_no_harm() -> None:
    """Phones append previews and videos to JPEGs."""
    assert read_header(encode(67, 45, "JPEG") + b"appended" * 100).width == 67


def test_scans_of_a_jpeg_are_its_own():
    """Not those of a thumbnail in it, nor of a video behind it, as telephones append them."""
    plain = encode(67, 45, "JPEG")
    thumbnail = b"\xff\xd8" + b"\xff\xda\x00\x02" * 200
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(thumbnail)) + thumbnail
    assert read_header(plain).scans == 1
    assert read_header(plain[:2] + segment + plain[2:] + b"\xff\xda" * 200).scans == 1
    assert read_header(jpeg_of_scans(300)).scans == 300


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("kept", [0.999, 0.9, 0.5, 0.1])
def test_cut_off_file(kind: str, kept: float) -> None:
    data = encode(300, 200, kind)
    with pytest.raises(HeaderError, match="cut off"):
        read_header(data[: int(len(data) * kept)])


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_every_short_start_of_a_file_is_an_error_or_a_size(kind: str, options: dict[str, Any]) -> None:
    data = encode(20, 10, kind, **options)
    for length in range(min(len(data), 400)):
        try:
            header = read_header(data[:length])
        except HeaderError:
            continue
        assert (header.width, header.height) == (20, 10)
        assert kind in ("BMP", "GIF", "TIFF")  # the decoder finds out about these


def test_png_with_a_wrong_checksum() -> None:
    data = bytearray(encode(67, 45, "PNG"))
    data[len(data) // 2] ^= 1
    with pytest.raises(HeaderError, match="checksum of its 'IDAT'"):
        read_header(bytes(data))


@pytest.mark.parametrize("data", [b"hello, world", b"%PDF-1.7", b"\0" * 100, b"II", b"P6 2 2 255 ", b"GIF88a"])
def test_other_files(data: bytes) -> None:
    with pytest.raises(HeaderError, match="is not an image"):
        read_header(data)


def test_offset_beyond_any_end() -> None:
    """A directory at 2**64 - 1, which no pointer reaches."""
    with pytest.raises(HeaderError, match="cut off"):
        read_header(b"II+\0\x08\0\0\0" + b"\xff" * 8)


def test_image_without_pixels() -> None:
    data = bytearray(encode(67, 45, "GIF"))
    data[6:8] = b"\0\0"
    with pytest.raises(HeaderError, match="0x45 pixels"):
        read_header(bytes(data))
