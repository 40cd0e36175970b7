"""What ImageMagick writes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from maskrt.tools.reading_audit.references import with_pillow_or_tifffile
from maskrt.tools.reading_audit.variants import TOLERANCE, Variant, picture


def magick_variants() -> Iterator[Variant]:
    """Depths, colour models, compressions and orientations as ImageMagick writes them."""
    program = next((found for name in ("magick", "convert") if (found := shutil.which(name))), None)
    if program is None or "ImageMagick" not in _output([program, "-version"]):
        return

    def variant(name: str, what: str, *options: str, tolerance: int = TOLERANCE) -> Variant:
        def write(path: Path) -> None:
            source = path.with_name("source.png")
            Image.fromarray(picture()).save(source)
            subprocess.run([program, source, *options, path], check=True, capture_output=True, timeout=60)

        return Variant("ImageMagick", name, what, write, with_pillow_or_tifffile, tolerance)

    for suffix in ("png", "tif", "bmp", "gif", "jpg", "webp"):
        lossy = 6 if suffix in ("jpg", "webp") else TOLERANCE
        for depth in (1, 2, 4, 8, 16, 32):
            for colours in ("RGB", "Gray", "CMYK"):
                options = ("-depth", str(depth), "-colorspace", colours)
                yield variant(f"a.{suffix}", f"{depth} bits, {colours}", *options, tolerance=lossy)
        for kind in (
            "Bilevel",
            "Grayscale",
            "GrayscaleAlpha",
            "Palette",
            "PaletteAlpha",
            "TrueColor",
            "TrueColorAlpha",
        ):
            yield variant(f"a.{suffix}", f"type {kind}", "-type", kind, tolerance=lossy)
        for orientation in ("TopLeft", "TopRight", "BottomRight", "BottomLeft", "LeftTop", "RightTop", "RightBottom"):
            yield variant(f"a.{suffix}", f"orientation {orientation}", "-orient", orientation, tolerance=lossy)
        yield variant(f"a.{suffix}", "interlaced", "-interlace", "Plane", tolerance=lossy)
    for compression in ("None", "LZW", "Zip", "RLE", "Fax", "Group4", "JPEG", "LZMA", "ZSTD", "WebP"):
        for planes in ("contig", "separate"):
            yield variant(
                "a.tif",
                f"{compression}, {planes}",
                "-define",
                f"tiff:planar-config={planes}",
                "-compress",
                compression,
                tolerance=6 if compression in ("JPEG", "WebP") else TOLERANCE,
            )
    for endian in ("lsb", "msb"):
        yield variant("a.tif", f"endian {endian}", "-endian", endian)
    for name in ("bmp2:a.bmp", "bmp3:a.bmp", "bmp4:a.bmp"):
        yield variant("a.bmp", name[:4], "-define", f"bmp:format={name[:4]}")
    for kind in ("argb4444", "argb1555", "rgb565", "argb"):
        yield variant("a.bmp", f"subtype {kind}", "-define", f"bmp:subtype={kind}", tolerance=9)


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60).stdout
