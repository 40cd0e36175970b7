"""What a filter is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Filter:
    """How pixels are resized.

    Attributes:
        resize: an image [H, W, 3] uint8 to (height, width), each at least 1, into `out` [height, width, 3], which is
            uint8 or float32 and holds grey levels 0-255 afterwards.
        require: raises DependencyError where a package that it needs is not installed.
    """

    resize: Callable[[np.ndarray, tuple[int, int], np.ndarray], None]
    require: Callable[[], object] = lambda: None
