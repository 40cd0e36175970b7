"""The programs that write variants, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from maskrt.tools.reading_audit.variants import Variant
from maskrt.tools.reading_audit.writers.ffmpeg import ffmpeg_variants
from maskrt.tools.reading_audit.writers.heif import heif_variants
from maskrt.tools.reading_audit.writers.magick import magick_variants
from maskrt.tools.reading_audit.writers.pillow import pillow_variants
from maskrt.tools.reading_audit.writers.tiff import tifffile_variants

WRITERS: dict[str, Callable[[], Iterator[Variant]]] = {
    "Pillow": pillow_variants,
    "tifffile": tifffile_variants,
    "ImageMagick": magick_variants,
    "libheif": heif_variants,
    "FFmpeg": ffmpeg_variants,
}
"""Of a program that is not installed there is no variant."""


def all_variants() -> list[Variant]:
    """Every variant that the programs here can write."""
    return [variant for variants in WRITERS.values() for variant in variants()]
