"""Masks as polygons along the edges of their pixels, which are the mask again wherever they are filled."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

Point = tuple[int, int]
"""x and y."""


def polygons_of(crops: Iterable[tuple[int, int, np.ndarray]]) -> list[list[np.ndarray]]:
    """Go around masks that are cut out of an image: the `outline` of each, in pixels of the image.

    Args:
        crops: as `Masks.crops` gives them.
    """
    return [[polygon + np.array([left, top], np.float32) for polygon in outline(mask)] for left, top, mask in crops]


def outline(mask: np.ndarray) -> list[np.ndarray]:
    """Go around the edges of a mask's pixels.

    The polygons have horizontal and vertical sides alone, and their corners lie between pixels, where COCO has its
    coordinates: pixel (x, y) reaches from x to x + 1 and from y to y + 1. Filled, by pycocotools' `frPyObjects` for
    one, they give back each pixel of the mask and no other. Pixels that touch at a corner alone are parts of their own.
    COCO's polygons have no holes: one is joined to what is around it by a cut of no width, there and back.

    Args:
        mask: [H, W] bool.

    Returns:
        For each part a float32 array [P, 2] of x and y, P >= 4, clockwise as seen on the screen; the parts in the order
        of their first pixels.
    """
    polygons: list[list[Point]] = []
    holes: list[list[Point]] = []
    for ring in _rings(mask):
        x, y = ring[0]
        if mask[y, x]:  # below its highest side, which goes to the right
            polygons.append(ring)
        else:
            holes.append(ring[::-1])
    # From left to right: what lies to the left of a hole has been joined to its own surroundings before.
    for hole in sorted(holes, key=min):
        _join(mask, polygons, hole)
    return [np.array(polygon, np.float32) for polygon in polygons]


def _rings(mask: np.ndarray) -> list[list[Point]]:
    """Find the borders between pixels that are set and others, each from its highest and there leftmost corner.

    On each line of the grid between pixels, the corners of all borders pair up, and so they do on each column: between
    the first and the second there is a side, between the third and the fourth, and so on.
    """
    padded = np.pad(mask, 1)
    a, b, c, d = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    # Where two pixels touch at a corner, two borders meet: one comes from the left, and one goes to the right.
    meet = (a == d) & (b == c) & (a != b)
    y, x = np.nonzero(a ^ b ^ c ^ d)
    meet_y, meet_x = np.nonzero(meet)
    falling = a[meet_y, meet_x]  # from the upper left pixel to the lower right one
    alone, both = np.zeros(len(y), bool), np.ones(len(meet_y), bool)
    is_right = np.concatenate((alone, ~both, both))
    goes_down = np.concatenate((alone, ~falling, falling))
    y, x = np.concatenate((y, meet_y, meet_y)), np.concatenate((x, meet_x, meet_x))
    across, along = (_pairs(np.lexsort(keys)) for keys in ((is_right, x, y), (goes_down, y, x)))
    points = list(zip(x.tolist(), y.tolist(), strict=True))
    rings, seen = [], bytearray(len(points))
    for first in np.lexsort((is_right, x, y)).tolist():
        ring, corner = [], first
        while not seen[corner]:
            other = across[corner]
            seen[corner] = seen[other] = 1
            ring += [points[corner], points[other]]
            corner = along[other]
        if ring:
            rings.append(ring)
    return rings


def _pairs(order: np.ndarray) -> list[int]:
    """Join each first with its second: the number of the one for the number of the other."""
    partner = np.empty(len(order), np.int64)
    partner[order[0::2]], partner[order[1::2]] = order[1::2], order[0::2]
    return partner.tolist()


def _join(mask: np.ndarray, polygons: list[list[Point]], hole: list[Point]) -> None:
    """Cut from the hole's leftmost corner to the side at its left, which belongs to one of the polygons."""
    start = hole.index(min(hole))
    x, y = hole[start]
    left = int(np.flatnonzero(np.concatenate(([True], ~mask[y, :x])))[-1])  # the first pixel of the run is here
    for polygon in polygons:
        for number, (one, other) in enumerate(zip(polygon, [*polygon[1:], polygon[0]], strict=True), start=1):
            upper, lower = sorted((one[1], other[1]))
            if one[0] == other[0] == left and upper <= y < lower:
                polygon[number:number] = [(left, y), *hole[start:], *hole[: start + 1], (left, y)]
                return
    raise AssertionError("a hole lies in no polygon")
