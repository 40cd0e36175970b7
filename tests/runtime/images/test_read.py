"""Image files of every kind against PIL, and files that are none."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_images

from maskrt.runtime import ArgumentError, ImageError, read_image
from maskrt.runtime.images.read import ImageTooLargeError, check_image

from ...support.bombs import jpeg_of_scans, png_bomb, tiled_tiff

PHOTOGRAPH = load_sample_images().images[1][:240, :320]


def save(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("a.png", {}, 0),
        ("a.bmp", {}, 0),
        ("a.tif", {}, 0),
        ("a.tiff", {"compression": "tiff_lzw"}, 0),
        ("lossless.webp", {"lossless": True}, 0),
        ("a.jpg", {"quality": 95}, 2),
        ("progressive.jpg", {"quality": 95, "progressive": True}, 2),
        ("a.webp", {"quality": 95}, 3),
    ],
)
def test_colour_files(tmp_path: Path, name: str, options: dict[str, Any], tolerance: float) -> None:
    path = save(tmp_path / name, Image.fromarray(PHOTOGRAPH), **options)
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    expected = np.asarray(Image.open(path).convert("RGB"))
    assert np.abs(image.astype(int) - expected).mean() <= tolerance


@pytest.mark.parametrize(
    ("mode", "name"),
    [("L", "grey.png"), ("L", "grey.jpg"), ("1", "bits.png"), ("P", "palette.png"), ("P", "palette.gif")]
    + [("LA", "grey_alpha.png"), ("CMYK", "cmyk.tif"), ("P", "palette.bmp"), ("1", "bits.tif")],
)
def test_other_colour_models_become_rgb(tmp_path: Path, mode: str, name: str) -> None:
    path = save(tmp_path / name, Image.fromarray(PHOTOGRAPH).convert(mode))
    expected = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert np.abs(read_image(path) - expected).max() <= 1


def test_cmyk_jpeg(tmp_path: Path) -> None:
    path = save(tmp_path / "cmyk.jpg", Image.fromarray(PHOTOGRAPH).convert("CMYK"), quality=95)
    expected = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert np.abs(read_image(path) - expected).mean() < 1


@pytest.mark.parametrize("name", ["grey16.png", "grey16.tif"])
def test_16_bit_keeps_the_upper_byte(tmp_path: Path, rng: np.random.Generator, name: str) -> None:
    levels = rng.integers(0, 65536, (40, 50), dtype=np.uint16)
    path = save(tmp_path / name, Image.fromarray(levels))
    image = read_image(path)
    assert np.abs(image[:, :, 1].astype(int) - levels / 257).max() <= 1
    assert (image[:, :, 0] == image[:, :, 2]).all()


def test_alpha_is_ignored(tmp_path: Path) -> None:
    """The stored colours come back, also where the image is transparent."""
    alpha = np.linspace(0, 255, PHOTOGRAPH.shape[1]).astype(np.uint8)
    rgba = np.dstack((PHOTOGRAPH, np.broadcast_to(alpha, PHOTOGRAPH.shape[:2])))
    path = save(tmp_path / "alpha.png", Image.fromarray(rgba))
    np.testing.assert_array_equal(read_image(path), PHOTOGRAPH)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_exif_orientation_is_applied(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / name, Image.fromarray(PHOTOGRAPH), exif=exif)
    image = read_image(path)
    turned = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    expected = np.asarray(turned).astype(int)
    assert image.shape == expected.shape
    assert np.abs(image - expected).mean() < 2


@pytest.mark.parametrize(("width", "height"), [(1, 1), (20000, 10), (10, 20000)])
def test_extreme_sizes(tmp_path: Path, width: int, height: int) -> None:
    for name in ("a.png", "a.jpg"):
        assert read_image(save(tmp_path / name, Image.new("RGB", (width, height)))).shape == (
            height,
            width,
            3,
        )


def test_the_name_does_not_matter(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(PHOTOGRAPH)).rename(tmp_path / "photo.txt")
    np.testing.assert_array_equal(read_image(str(path)), PHOTOGRAPH)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"nowhere.jpg: there is no such file"):
        read_image(tmp_path / "nowhere.jpg")


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is not a file"):
        read_image(tmp_path)


def test_name_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be read"):
        read_image(tmp_path / ("a" * 1000 + ".jpg"))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"not an image", "is not an image"), (b"\xff\xd8\xff", "is cut off")],
)
def test_files_that_are_no_images(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=message):
        read_image(path)


@pytest.mark.parametrize("name", ["a.jpg", "progressive.jpg", "a.png", "a.webp", "a.bmp", "a.gif", "a.tif"])
@pytest.mark.parametrize("kept", [0.99, 0.6, 0.2])
def test_cut_off_files_are_errors_and_not_half_pictures(tmp_path: Path, name: str, kept: float) -> None:
    options = {"progressive": True} if name.startswith("progressive") else {}
    path = save(tmp_path / name, Image.fromarray(PHOTOGRAPH), **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ImageError, match=r"cut off|cannot be decoded"):
        read_image(path)


def test_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """50000x50000 pixels, 7.5 GB, in a PNG of a few bytes that ends properly."""
    path = tmp_path / "bomb.png"
    path.write_bytes(png_bomb(50_000, 50_000))
    with pytest.raises(ImageTooLargeError, match=r"50000x50000 pixels; at most 200,000,000 .* Make it smaller"):
        read_image(path)


def test_a_tiff_of_tiles_larger_than_itself(tmp_path: Path) -> None:
    """A picture of 64x64 whose one tile would take a gigabyte, as 4 bytes a pixel, of 0.1 % of that."""
    path = tmp_path / "tiles.tif"
    path.write_bytes(tiled_tiff(64, 256))
    assert read_image(path).shape == (64, 64, 3)
    for tag, length in ((322, 16_384), (323, 16_384)):
        data = path.read_bytes()
        at = data.index(struct.pack("<HHII", tag, 4, 1, 256))
        path.write_bytes(data[: at + 8] + struct.pack("<I", length) + data[at + 12 :])
    with pytest.raises(ImageError, match=r"page 1 \(64x64\) in tiles of 16384x16384 pixels, which are too large"):
        read_image(path)


def test_a_jpeg_of_too_many_scans(tmp_path: Path) -> None:
    path = tmp_path / "scans.jpg"
    path.write_bytes(jpeg_of_scans(101))
    with pytest.raises(ImageTooLargeError, match=r"scans.jpg is a JPEG of 101 scans; at most 100 .* with fewer\.$"):
        read_image(path)


def test_the_pixel_limit_can_be_set(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(PHOTOGRAPH))
    assert read_image(path, max_pixels=320 * 240).shape == (240, 320, 3)
    with pytest.raises(ImageError, match="320x240"):
        read_image(path, max_pixels=320 * 240 - 1)


def test_damage_in_the_compressed_data(tmp_path: Path) -> None:
    """A proper PNG around a pixel stream that ends early."""
    file = io.BytesIO()
    Image.fromarray(PHOTOGRAPH).save(file, "PNG")
    data = file.getvalue()
    start = data.index(b"IDAT")
    kind_and_content = b"IDAT" + zlib.compress(PHOTOGRAPH.tobytes()[:1000])
    damaged = (
        data[: start - 4]
        + struct.pack(">I", len(kind_and_content) - 4)
        + kind_and_content
        + struct.pack(">I", zlib.crc32(kind_and_content))
        + data[data.index(b"IEND") - 4 :]
    )
    path = tmp_path / "a.png"
    path.write_bytes(damaged)
    with pytest.raises(ImageError, match="cannot be decoded"):
        read_image(path)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.bmp", "a.gif", "a.tif"])
def test_mutated_files_are_errors_or_images(tmp_path: Path, rng: np.random.Generator, name: str) -> None:
    path = save(tmp_path / name, Image.fromarray(PHOTOGRAPH[:60, :80]))
    whole = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    refused = 0
    for _ in range(100):
        content = whole.copy()
        # Half of the changes near the start, where the header is.
        ends = rng.choice([60, len(content)], rng.integers(1, 10))
        content[(rng.random(len(ends)) * ends).astype(int)] = rng.integers(0, 256, len(ends))
        path.write_bytes(content.tobytes())
        try:
            image = read_image(path)
        except ImageError:
            refused += 1
        else:
            assert image.dtype == np.uint8
            assert image.ndim == 3
    assert refused > 0  # where formats have checksums, often all of them


def little_tiff(*entries: tuple[int, int, int, int], directory: int = 8, following: int = 0) -> bytes:
    """A TIFF file of one directory, of (tag, type, count, value), and no picture."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    content = struct.pack("<2sHIH", b"II", 42, directory, len(entries)) + packed + struct.pack("<I", following)
    return content + bytes(64)


SIZE = (256, 4, 1, 4), (257, 4, 1, 4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (little_tiff(directory=0), "it has no directory"),
        (little_tiff(), "does not say how large"),
        (little_tiff(*SIZE, following=8), "lead in a circle"),
        (little_tiff(*SIZE, (330, 4, 1, 8)), "lead in a circle"),
        (little_tiff((256, 2, 1, 4), SIZE[1]), "its size is not a whole number"),
        (little_tiff(*SIZE, directory=10_000), "is cut off"),
        (little_tiff(*SIZE, following=10_000), "is cut off"),
        (little_tiff(*SIZE, (258, 3, 400, 60_000)), "is cut off"),
        (little_tiff(*SIZE), "has colours that cannot be read here"),
        (little_tiff(*SIZE, (262, 3, 1, 1), (258, 3, 1, 12)), "has samples of 12 bits"),
        (little_tiff(*SIZE, (262, 3, 1, 1), (339, 3, 1, 3)), "has floating point numbers"),
        (little_tiff(*SIZE, (262, 3, 1, 2), (277, 3, 1, 3), (258, 3, 1, 8), (338, 1, 1, 2)), "cannot be decoded"),
        (little_tiff(*SIZE, (262, 3, 1, 32803)), "is the raw data of a camera"),
        (little_tiff(*SIZE, (262, 3, 1, 2), (50706, 1, 4, 1)), "is the raw data of a camera"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(100), "."),
    ],
)
def test_tiff_files_that_are_damaged_or_no_picture(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=message):
        read_image(path)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, "got NoneType"),
        ([[1, 2, 3]], "got list"),
        (np.zeros((4, 4), np.uint8), r"got shape \[4, 4\]"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"got shape \[2, 4, 4, 3\]"),
        (np.zeros((4, 4, 4), np.uint8), r"got shape \[4, 4, 4\]"),
        (np.zeros((4, 4, 3), np.float32), "got float32"),
        (np.zeros((0, 4, 3), np.uint8), "without pixels"),
    ],
)
def test_arrays_that_are_no_images(image: object, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        check_image(image)
