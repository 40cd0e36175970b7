"""Pillow's BILINEAR on uint8, as detectron2 resizes: antialiased where it shrinks.

Along x first, then along y, with uint8 in between; weights are whole numbers of 22 fractional bits (`Resample.c`). From
version 13 on, Pillow takes y first for some images that shrink in height (of those that keep their ratio of sides: more
than about twice as high as wide), which changes single grey levels by one. A float32 canvas holds the same grey levels:
what the framework rounds is rounded.
"""

from types import ModuleType

import numpy as np

from maskrt.errors import DependencyError
from maskrt.runtime.transforms.filters.base import Filter


def resize(image: np.ndarray, size: tuple[int, int], out: np.ndarray) -> None:
    """Resize with Pillow itself."""
    pillow = import_pillow()
    out[...] = np.asarray(pillow.fromarray(image).resize((size[1], size[0]), pillow.Resampling.BILINEAR))


def import_pillow() -> ModuleType:
    """Import `PIL.Image`.

    Raises:
        DependencyError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise DependencyError(
            "This model's images are resized with Pillow, as its framework does it, which cannot be imported "
            f"({error}). Install it: `pip install maskrt[pillow]`."
        ) from None
    return Image


FILTER = Filter(resize, import_pillow)
