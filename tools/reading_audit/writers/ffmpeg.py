"""What FFmpeg writes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from maskrt.tools.reading_audit.references import frames
from maskrt.tools.reading_audit.variants import Variant, picture


def ffmpeg_variants() -> Iterator[Variant]:
    """Codecs, pixel formats, ranges, colour matrices and aspects."""
    program = shutil.which("ffmpeg")
    if program is None:
        return

    def variant(name: str, what: str, *options: str, filters: str = "null", refused: bool = False) -> Variant:
        def write(path: Path) -> None:
            source = path.with_name("source.png")
            Image.fromarray(picture(96, 144)).save(source)
            command = [program, "-v", "error", "-y", "-loop", "1", "-t", "0.2", "-r", "25", "-i", str(source)]
            subprocess.run([*command, "-vf", filters, *options, str(path)], check=True, capture_output=True, timeout=60)

        def read(path: Path) -> list[np.ndarray]:
            return frames(program, path)

        return Variant("FFmpeg", name, what, write, None if refused else read, tolerance=6)

    formats = (
        "yuv420p",
        "yuv422p",
        "yuv444p",
        "yuvj420p",
        "yuvj444p",
        "gray",
        "yuv420p10le",
        "yuv422p10le",
        "yuv444p10le",
    )
    for container, codec in (
        ("mp4", "libx264"),
        ("mkv", "libx264"),
        ("mkv", "ffv1"),
        ("ts", "libx264"),
        ("mp4", "libx265"),
    ):
        for pixels in formats:
            yield variant(f"a.{container}", f"{codec}, {pixels}", "-c:v", codec, "-pix_fmt", pixels)
    for name, codec in (
        ("a.avi", "mjpeg"),
        ("a.mov", "prores_ks"),
        ("a.webm", "libvpx-vp9"),
        ("a.mp4", "mpeg4"),
        ("a.mkv", "huffyuv"),
        ("a.mov", "png"),
    ):
        yield variant(name, codec, "-c:v", codec)
    for space in ("bt709", "smpte170m", "bt2020nc"):
        for span in ("tv", "pc"):
            matrix = {"smpte170m": "bt601", "bt2020nc": "bt2020"}.get(space, space)
            yield variant(
                "a.mp4",
                f"{space}, {span}",
                "-c:v",
                "libx264",
                "-colorspace",
                space,
                "-color_range",
                span,
                filters=f"scale=out_color_matrix={matrix}:out_range={span},format=yuv444p",
            )
    for aspect in ("2/1", "1/2", "16/11", "12/11", "10/11", "4/3", "8/9"):
        for container in ("mp4", "mkv"):
            yield variant(
                f"a.{container}",
                f"pixels of {aspect}",
                "-c:v",
                "libx264",
                "-pix_fmt",
                "yuv444p",
                filters=f"setsar={aspect}",
            )
    for name in ("a.mp4", "a.mkv"):
        yield variant(
            name,
            "HDR (PQ)",
            "-c:v",
            "libx265",
            "-pix_fmt",
            "yuv420p10le",
            "-color_trc",
            "smpte2084",
            "-x265-params",
            "transfer=16:colorprim=9:colormatrix=9",
            refused=True,
        )
