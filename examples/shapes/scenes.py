"""Labelled scenes: 1–12 overlapping shapes on a textured or photographic background."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import cv2
import numpy as np

from maskrt.shapes.backgrounds import Split, background
from maskrt.shapes.outlines import CLASS_NAMES, OUTLINES, Outline

MIN_VISIBLE_PIXELS = 150
MIN_VISIBLE_FRACTION = 0.5
"""Below these a shape could not be told from another, so a placement that would cover one so far is not made."""

_SUBPIXEL_BITS = 4  # fillPoly takes fixed-point coordinates


@dataclass(frozen=True)
class Scene:
    """`image` `[H,W,3]` uint8 RGB, `masks` `[N,H,W]` bool (visible pixels, disjoint), `labels` `[N]` int64 from 1."""

    image: np.ndarray
    masks: np.ndarray
    labels: np.ndarray


def _place(rng: np.random.Generator, outline: Outline, height: int, width: int) -> Outline:
    """Scales, squeezes, turns and moves an outline into the picture; its centre stays inside."""
    size = min(height, width) * np.exp(rng.uniform(np.log(0.055), np.log(0.28)))
    turn, lean = rng.uniform(0, 2 * np.pi), rng.uniform(0, np.pi)
    squeeze = np.diag([1.0, rng.uniform(0.75, 1.0)])

    def rotation(angle: float) -> np.ndarray:
        return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    transform = size * rotation(lean) @ squeeze @ rotation(turn - lean)
    center = rng.uniform((0.02 * width, 0.02 * height), (0.98 * width, 0.98 * height))
    return [points @ transform.T + center for points in outline]


def _coverage(outline: Outline, height: int, width: int) -> np.ndarray:
    """Anti-aliased coverage `[height,width]` float32 0–1 of an outline."""
    canvas = np.zeros((height, width), np.uint8)
    # Half a pixel: OpenCV's pixel centres lie at whole numbers, the outline's at halves.
    fixed = [np.round((points - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32) for points in outline]
    cv2.fillPoly(canvas, fixed, 255, lineType=cv2.LINE_AA, shift=_SUBPIXEL_BITS)
    return canvas.astype(np.float32) / 255


def _paint(rng: np.random.Generator, height: int, width: int, split: Split) -> np.ndarray:
    """Draw the surface of a shape `[height,width,3]` float32: plain, patterned or photographic, under slanted light."""
    kind = rng.random()
    if kind < 0.55:
        surface = np.broadcast_to(rng.uniform(0, 255, 3).astype(np.float32), (height, width, 3))
    else:
        surface = background(rng, height, width, split)
        tint = rng.uniform(0, 255, 3).astype(np.float32)
        surface = surface + (tint - surface) * np.float32(rng.uniform(0.35, 0.85))
    slope = rng.uniform(-0.35, 0.35, 2)
    light = 1 + slope[0] * np.linspace(-1, 1, height)[:, None] + slope[1] * np.linspace(-1, 1, width)[None, :]
    return surface * light[..., None].astype(np.float32)


def _develop(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Lighting, exposure, blur and sensor noise of the whole picture; returns uint8."""
    height, width = image.shape[:2]
    slope = rng.uniform(-0.3, 0.3, 2)
    light = 1 + slope[0] * np.linspace(-1, 1, height)[:, None] + slope[1] * np.linspace(-1, 1, width)[None, :]
    image = image * light[..., None].astype(np.float32) * rng.uniform(0.85, 1.12, 3).astype(np.float32)
    image = 255 * (np.clip(image, 0, 255) / 255) ** np.float32(np.exp(rng.uniform(-0.45, 0.45)))
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.1))
    noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(0, 8))
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def generate_scene(seed: int, split: Split) -> Scene:
    """Draw the scene number `seed` of a split; the same seed gives the same scene on every machine.

    Sides are 224–416 pixels with an aspect ratio of 0.6–1.67; up to 12 shapes of 11–56 % of the short side.
    """
    rng = np.random.default_rng([seed, zlib.crc32(split.encode())])
    aspect = np.exp(rng.uniform(np.log(0.6), np.log(1 / 0.6)))
    side = rng.uniform(256, 352)
    height, width = (int(np.clip(round(s), 224, 416)) for s in (side / aspect**0.5, side * aspect**0.5))

    image = background(rng, height, width, split).copy()
    owner = np.zeros((height, width), np.int32)  # 0: background, otherwise 1 + index of the visible shape
    whole_areas: list[int] = []
    labels: list[int] = []
    wanted = int(rng.integers(1, 13))
    for _ in range(4 * wanted):
        if len(labels) == wanted:
            break
        label = int(rng.integers(1, len(CLASS_NAMES)))
        outline = _place(rng, OUTLINES[CLASS_NAMES[label]](rng), height, width)
        coverage = _coverage(outline, height, width)
        inside = coverage >= 0.5
        area = int(np.count_nonzero(inside))
        full_area = _polygon_area(outline)
        if area < max(MIN_VISIBLE_PIXELS, 0.6 * full_area):  # too much of it is outside the picture
            continue
        trial = np.where(inside, len(labels) + 1, owner)
        visible = np.bincount(trial.ravel(), minlength=len(labels) + 2)[1:-1]
        if np.any(visible < np.maximum(MIN_VISIBLE_PIXELS, MIN_VISIBLE_FRACTION * np.array(whole_areas))):
            continue
        owner = trial
        whole_areas.append(area)
        labels.append(label)
        if rng.random() < 0.4:
            offset = rng.uniform(1, 6, 2)
            shadow = cv2.GaussianBlur(
                _coverage([p + offset for p in outline], height, width), (0, 0), rng.uniform(1, 4)
            )
            image = image * (1 - np.float32(rng.uniform(0.2, 0.6)) * shadow[..., None])
        x, y, w, h = cv2.boundingRect((coverage > 0).astype(np.uint8))
        alpha, under = coverage[y : y + h, x : x + w, None], image[y : y + h, x : x + w]
        image[y : y + h, x : x + w] = under + alpha * (_paint(rng, h, w, split) - under)
    masks = owner == np.arange(1, len(labels) + 1)[:, None, None]
    return Scene(_develop(rng, image), masks, np.array(labels, np.int64))


def _polygon_area(outline: Outline) -> float:
    """Area of the first contour less the holes (shoelace formula), in pixels."""
    areas = [0.5 * abs(np.dot(p[:, 0], np.roll(p[:, 1], 1)) - np.dot(p[:, 1], np.roll(p[:, 0], 1))) for p in outline]
    return float(areas[0] - sum(areas[1:]))
