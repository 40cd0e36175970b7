"""Outlines of the shape classes, as polygons in the unit square [-1, 1]²."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# One polygon per contour; several contours are filled by the even-odd rule (a ring has two).
Outline = list[np.ndarray]


def _circle(radius: float, center: tuple[float, float] = (0.0, 0.0), points: int = 64) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack([center[0] + radius * np.cos(angle), center[1] + radius * np.sin(angle)], axis=1)


def disk(rng: np.random.Generator) -> Outline:
    """Return a filled circle."""
    return [_circle(1.0)]


def ring(rng: np.random.Generator) -> Outline:
    """Return a circle with a round hole of 45–65 % of its radius."""
    return [_circle(1.0), _circle(rng.uniform(0.45, 0.65))]


def rectangle(rng: np.random.Generator) -> Outline:
    """Return a rectangle with sides in the ratio 0.45–1."""
    height = rng.uniform(0.45, 1.0)
    return [0.95 * np.array([(-1, -height), (1, -height), (1, height), (-1, height)], dtype=np.float64)]


def triangle(rng: np.random.Generator) -> Outline:
    """Return a triangle, its apex moved sideways by up to 0.4."""
    return [np.array([(rng.uniform(-0.4, 0.4), -1), (1, 0.8), (-1, 0.8)], dtype=np.float64)]


def star(rng: np.random.Generator) -> Outline:
    """Return a five-pointed star, its inner radius 38–52 % of the outer."""
    angle = np.arange(10) * np.pi / 5
    radius = np.where(np.arange(10) % 2 == 0, 1.0, rng.uniform(0.38, 0.52))
    return [np.stack([radius * np.sin(angle), -radius * np.cos(angle)], axis=1)]


def cross(rng: np.random.Generator) -> Outline:
    """Return a plus sign with arms of half-width 0.25–0.4."""
    a = rng.uniform(0.25, 0.4)
    corners = [
        (-a, -1),
        (a, -1),
        (a, -a),
        (1, -a),
        (1, a),
        (a, a),
        (a, 1),
        (-a, 1),
        (-a, a),
        (-1, a),
        (-1, -a),
        (-a, -a),
    ]
    return [np.array(corners, dtype=np.float64)]


def heart(rng: np.random.Generator) -> Outline:
    """Return the curve x = sin³t, y = (13 cos t - 5 cos 2t - 2 cos 3t - cos 4t) / 16."""
    t = np.linspace(0, 2 * np.pi, 80, endpoint=False)
    y = (13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16
    return [np.stack([np.sin(t) ** 3, -y - 0.12], axis=1)]


def crescent(rng: np.random.Generator) -> Outline:
    """Return a circle without its overlap with a circle of the same size, shifted by 0.65–0.9 radii."""
    shift = rng.uniform(0.65, 0.9)
    half = np.arccos(shift / 2)  # where the two circles meet, seen from the first one's centre
    outer = np.linspace(half, 2 * np.pi - half, 48)
    inner = np.linspace(np.pi + half, np.pi - half, 32)
    points = np.concatenate(
        [
            np.stack([np.cos(outer), np.sin(outer)], axis=1),
            np.stack([shift + np.cos(inner), np.sin(inner)], axis=1),
        ]
    )
    return [points + (0.35, 0.0)]


OUTLINES: dict[str, Callable[[np.random.Generator], Outline]] = {
    "disk": disk,
    "ring": ring,
    "rectangle": rectangle,
    "triangle": triangle,
    "star": star,
    "cross": cross,
    "heart": heart,
    "crescent": crescent,
}

CLASS_NAMES = ["__background__", *OUTLINES]
"""Index = label; 0 is the background, as in torchvision."""
