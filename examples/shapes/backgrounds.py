"""Backgrounds for the scenes: photographs that scikit-image and scikit-learn carry, and synthetic textures."""

from __future__ import annotations

from functools import cache
from typing import Literal

import cv2
import numpy as np

Split = Literal["train", "test"]

# A held-out scene shows a photograph that no training scene shows.
PHOTOGRAPHS: dict[Split, tuple[str, ...]] = {
    "train": (
        "astronaut",
        "chelsea",
        "rocket",
        "brick",
        "gravel",
        "grass",
        "camera",
        "motorcycle",
        "china.jpg",
        "immunohistochemistry",
        "moon",
        "page",
        "text",
        "clock",
        "cell",
        "retina",
        "microaneurysms",
    ),
    "test": ("coffee", "coins", "hubble_deep_field", "flower.jpg"),
}


@cache
def photograph(name: str) -> np.ndarray:
    """Load the photograph as `[H,W,3]` uint8 RGB; `name` is scikit-image's or, with `.jpg`, scikit-learn's."""
    if name.endswith(".jpg"):
        from sklearn.datasets import load_sample_image

        image = load_sample_image(name)
    else:
        from skimage import data

        image = data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(data, name)()
    image = np.asarray(image, dtype=np.uint8)
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


def _crop_of_photograph(rng: np.random.Generator, height: int, width: int, split: Split) -> np.ndarray:
    names = PHOTOGRAPHS[split]
    source = photograph(names[rng.integers(len(names))])
    zoom = max(height / source.shape[0], width / source.shape[1]) * rng.uniform(1.0, 2.0)
    size = (max(width, round(source.shape[1] * zoom)), max(height, round(source.shape[0] * zoom)))
    scaled = cv2.resize(source, size, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR)
    y = rng.integers(scaled.shape[0] - height + 1)
    x = rng.integers(scaled.shape[1] - width + 1)
    crop = scaled[y : y + height, x : x + width]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    return crop.astype(np.float32)


def _noise_texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Sum of smooth noise at several scales, mapped between two or three colours."""
    field = np.zeros((height, width), np.float32)
    for cells in (3, 8, 20, 60):
        grid = rng.standard_normal((cells, cells)).astype(np.float32)
        field += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * rng.uniform(0.2, 1) / cells**0.4
    field = (field - field.min()) / (np.ptp(field) + 1e-6)
    colors = rng.uniform(0, 255, (2, 3)).astype(np.float32)
    return colors[0] + field[..., None] * (colors[1] - colors[0])


def _stripes_texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Stripes or checks of two colours at a random angle."""
    angle, period = rng.uniform(0, np.pi), rng.uniform(8, 60)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    on = np.sin(2 * np.pi * u / period) > 0
    if rng.random() < 0.5:
        on ^= np.sin(2 * np.pi * v / period) > 0
    colors = rng.uniform(0, 255, (2, 3)).astype(np.float32)
    colors[1] = colors[0] + (colors[1] - colors[0]) * rng.uniform(0.15, 0.8)
    return colors[on.astype(np.int64)]


def background(rng: np.random.Generator, height: int, width: int, split: Split) -> np.ndarray:
    """Draw a background `[height,width,3]` float32 RGB 0–255: a photograph (60 %), noise (25 %) or stripes (15 %)."""
    kind = rng.random()
    if kind < 0.6:
        return _crop_of_photograph(rng, height, width, split)
    if kind < 0.85:
        return _noise_texture(rng, height, width)
    return _stripes_texture(rng, height, width)
