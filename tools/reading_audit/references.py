"""The readers that maskrt is compared with: Pillow, tifffile for what Pillow does not read, and FFmpeg for videos."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image, ImageOps

from maskrt.tools.reading_audit.variants import Read


def with_pillow(path: Path) -> list[np.ndarray]:
    """Read as Pillow does, turned as EXIF says, alpha left away."""
    with Image.open(path) as opened:
        image: Image.Image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I;16"):
            grey = (np.asarray(image).astype(np.uint32) + 128) // 257
            return [np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)]
        if image.mode == "RGBA":
            return [np.asarray(image)[..., :3]]
        return [np.asarray(image.convert("RGB"))]


def as_given(image: np.ndarray) -> Read:
    """Take this for the reference, where the writer is lossless."""
    return lambda path: [image]


def with_pillow_or_tifffile(path: Path) -> list[np.ndarray]:
    """Read as Pillow does, or where it does not, as tifffile does."""
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            bits, photometric = page.bitspersample, int(page.photometric)
            if bits in (8, 16) and photometric in (0, 1, 2) and page.compression == 1:
                values = page.asarray()
                if page.planarconfig == 2 and values.ndim == 3:
                    values = np.moveaxis(values, 0, -1)
                values = (values.astype(np.uint32) + 128) // 257 if bits == 16 else values
                values = 255 - values if photometric == 0 else values
                colour = values[..., :3] if photometric == 2 else np.repeat(np.atleast_3d(values)[..., :1], 3, axis=2)
                turned = Image.fromarray(colour.astype(np.uint8))
                exif = turned.getexif()
                orientation = page.tags.get(274)
                exif[0x0112] = 1 if orientation is None else int(orientation.value)
                turned.info["exif"] = exif.tobytes()
                return [np.asarray(ImageOps.exif_transpose(turned))]
    return with_pillow(path)


def frames(program: str, path: Path) -> list[np.ndarray]:
    """Decode with the command, turned as it does, pixels made square as a player shows them."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        width, height = stream.codec_context.width, stream.codec_context.height
        aspect = stream.sample_aspect_ratio or Fraction(1)
    size = (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))
    command = [program, "-v", "error", "-i", str(path), "-vf", f"scale={size[0]}:{size[1]}:flags=bilinear"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-vsync", "passthrough", "-"]
    data = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    return list(np.frombuffer(data, np.uint8).reshape(-1, size[1], size[0], 3))
