"""One small picture in every kind of image file that the runtime reads."""

import io
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image


def image_files() -> dict[str, bytes]:
    """Encoded images by the name of their kind; deterministic."""
    photograph = Image.fromarray(load_sample_image("china.jpg")[:120, :160])
    grey16 = Image.fromarray((np.asarray(photograph.convert("L")).astype(np.uint16)) * 257)
    rotated = Image.Exif()
    rotated[0x0112] = 6
    alpha = photograph.copy()
    alpha.putalpha(photograph.convert("L"))
    kinds: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "jpeg": (photograph, "JPEG", {"exif": rotated}),
        "jpeg progressive": (photograph, "JPEG", {"progressive": True}),
        "jpeg grey": (photograph.convert("L"), "JPEG", {}),
        "jpeg cmyk": (photograph.convert("CMYK"), "JPEG", {}),
        "png": (photograph, "PNG", {}),
        "png palette": (photograph.convert("P"), "PNG", {}),
        "png alpha": (alpha, "PNG", {}),
        "png 16 bit": (grey16, "PNG", {}),
        "webp": (photograph, "WEBP", {}),
        "webp lossless": (photograph, "WEBP", {"lossless": True}),
        "webp alpha": (alpha, "WEBP", {"exact": True}),
        "tiff": (photograph, "TIFF", {}),
        "tiff lzw": (photograph, "TIFF", {"compression": "tiff_lzw"}),
        "tiff deflate": (photograph, "TIFF", {"compression": "tiff_deflate"}),
        "tiff jpeg": (photograph, "TIFF", {"compression": "jpeg"}),
        "tiff 16 bit": (grey16, "TIFF", {}),
        "bigtiff": (photograph, "TIFF", {"big_tiff": True}),
        "bmp": (photograph, "BMP", {}),
        "bmp palette": (photograph.convert("P"), "BMP", {}),
        "gif": (photograph.convert("P"), "GIF", {}),
        "gif animated": (
            photograph.convert("P"),
            "GIF",
            {"save_all": True, "append_images": [photograph.rotate(9)] * 2},
        ),
    }
    return {name: _encode(*kind) for name, kind in kinds.items()}


def _encode(image: Image.Image, file_format: str, options: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()
