"""Pictures made up for verification, of sizes and grey levels that leave nothing to rounding when they are resized."""

from __future__ import annotations

import numpy as np
import torch

from maskrt.contract.pipeline import Resize

_UNRESIZED = 320
"""Shorter side of the pictures for a model that takes them as they are; pixels."""

_GRAY = 128
_STEP = 16
"""Between grey levels: bilinear weights at twice or half the size are sixteenths, so that resized levels are whole, and
uint8 input rounds nothing."""


def made_up_pictures(resize: Resize, contrast: float) -> list[np.ndarray]:
    """Make two uint8 `[H, W, 3]` pictures, one wide and one tall: clouds and plain shapes.

    Both are enlarged twofold to the model's size, or halved where that is odd; `contrast` 1 spans all grey levels.
    """
    rng = np.random.default_rng(0)
    return [_picture(height, width, contrast, rng) for height, width in _sizes(resize)]


def _sizes(resize: Resize) -> list[tuple[int, int]]:
    """Heights and widths that the policy scales by just 2, or by just a half."""
    if resize.min_size == 0:
        return [(_UNRESIZED, _UNRESIZED * 5 // 4), (_UNRESIZED * 7 // 5, _UNRESIZED)]
    sizes = []
    for ratio in (1.25, 1.4):
        by_short_side = round(resize.min_size * ratio) <= resize.max_size
        side = resize.min_size if by_short_side else resize.max_size
        known = side // 2 if side % 2 == 0 else side * 2
        other = max(2, int(known * ratio) if by_short_side else int(known / ratio)) // 2 * 2
        sizes.append((known, other) if by_short_side else (other, known))
    (short, long), (narrow, high) = sizes
    return [(short, long), (high, narrow)]


def _picture(height: int, width: int, contrast: float, rng: np.random.Generator) -> np.ndarray:
    grid = torch.from_numpy(rng.uniform(0, 255, (1, 3, 9, 9)).astype(np.float32))
    clouds = torch.nn.functional.interpolate(grid, size=(height, width), mode="bicubic", align_corners=False)
    picture = clouds[0].permute(1, 2, 0).numpy().copy()
    y, x = np.mgrid[0:height, 0:width]
    short = min(height, width)
    for number in range(12):
        cy, cx, size = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(0.04, 0.2) * short
        distance = np.hypot(y - cy, x - cx) if number % 2 else np.maximum(abs(y - cy), abs(x - cx))
        picture[distance < size] = rng.uniform(0, 255, 3)
    picture = (picture - _GRAY) * contrast + _GRAY
    return (np.clip(picture, 0, 255) // _STEP * _STEP).astype(np.uint8)
