"""What Pillow writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from maskrt.tools.reading_audit.references import with_pillow
from maskrt.tools.reading_audit.variants import TOLERANCE, Variant, picture


def pillow_variants() -> Iterator[Variant]:
    """Every colour model and option of the formats that are read, and each orientation."""
    colour = Image.fromarray(picture())
    alpha = Image.fromarray(np.dstack((picture(), picture()[..., 0])))

    def variant(name: str, what: str, image: Image.Image, tolerance: int = TOLERANCE, **options: Any) -> Variant:
        return Variant("Pillow", name, what, lambda path: image.save(path, **options), with_pillow, tolerance=tolerance)

    modes = {mode: colour.convert(mode) for mode in ("1", "L", "P", "RGB", "CMYK", "YCbCr")}
    modes |= {"LA": alpha.convert("LA"), "PA": alpha.convert("PA"), "RGBA": alpha}
    grey16 = Image.fromarray(picture()[..., 0].astype(np.uint16) * 257)
    for suffix in ("png", "bmp", "gif", "tif", "jpg", "webp"):
        for mode, image in modes.items():
            lossy = 3 if suffix in ("jpg", "webp") else TOLERANCE
            yield variant(f"{mode}.{suffix}", f"colours {mode}", image, lossy)
    for suffix in ("png", "tif"):
        yield variant(f"16.{suffix}", "16-bit grey", grey16)
    for compression in (
        "tiff_lzw",
        "tiff_adobe_deflate",
        "packbits",
        "group3",
        "group4",
        "tiff_ccitt",
        "jpeg",
        "webp",
        "zstd",
        "lzma",
    ):
        for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK"):
            yield variant(
                f"{mode}.tif",
                f"{compression}, {mode}",
                modes[mode],
                4 if compression in ("jpeg", "webp") else 1,
                compression=compression,
            )
    for quality in (1, 30, 75, 95, 100):
        for subsampling in (0, 1, 2):
            for progressive in (False, True):
                yield variant(
                    "a.jpg",
                    f"quality {quality}, subsampling {subsampling}{', progressive' if progressive else ''}",
                    colour,
                    6,
                    quality=quality,
                    subsampling=subsampling,
                    progressive=progressive,
                )
    for quality in (5, 60, 100):
        for lossless in (False, True):
            for image, kind in ((colour, "RGB"), (alpha, "RGBA")):
                yield variant(
                    "a.webp",
                    f"{kind}, quality {quality}, lossless {lossless}",
                    image,
                    6,
                    quality=quality,
                    lossless=lossless,
                )
    for bits in (1, 2, 4):
        yield variant("a.png", f"palette of {bits} bits", colour.convert("P", colors=2**bits), bits=bits)
    for mode in ("L", "RGB", "P"):
        yield variant(
            "a.png", f"transparent colour, {mode}", modes[mode], transparency=0 if mode != "RGB" else (0, 0, 0)
        )
    yield variant("a.gif", "interlaced", modes["P"], interlace=1)
    yield variant("a.gif", "transparent", modes["P"], transparency=3)
    for suffix in ("jpg", "png", "webp", "tif"):
        for orientation in range(10):
            exif = Image.Exif()
            exif[0x0112] = orientation
            yield variant(
                f"a.{suffix}", f"orientation {orientation}", colour, 6 if suffix in ("jpg", "webp") else 1, exif=exif
            )
    for suffix in ("gif", "png", "webp", "tif"):
        more = [colour.rotate(180)] * 2
        animation = variant(f"many.{suffix}", "three pictures", colour, 6, save_all=True, append_images=more)
        yield animation
        small = [colour.resize((20, 16))]
        yield variant(f"small.{suffix}", "a smaller one behind", colour, 6, save_all=True, append_images=small)
    yield variant("a.tif", "BigTIFF", colour, big_tiff=True)
    for name in ("a.jp2", "a.avif", "a.ppm", "a.tga", "a.ico", "a.pdf", "a.icns", "a.dds", "a.sgi", "a.pcx"):
        yield variant(name, "another format", colour, 3)
