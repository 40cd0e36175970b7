"""Figures as text: as many digits as mean something, and a dash where there is none."""

from __future__ import annotations

import math

NONE = "–"


def ap(value: float | None) -> str:
    """Write an average precision, 0 to 1."""
    return NONE if value is None else f"{value:.4f}"


def ap_change(value: float | None, reference: float | None) -> str:
    """Write how much higher or lower than the reference an average precision is."""
    if value is None or reference is None:
        return NONE
    change = round(value - reference, 4)
    return "0" if change == 0 else f"{change:+.4f}".replace("-", "−")


def number(value: float | None, digits: int = 3) -> str:
    """Write a positive quantity with three significant digits, without exponent where it reads well without."""
    if value is None or math.isnan(value):
        return NONE
    if value == 0 or math.isinf(value):
        return f"{value:g}".replace("inf", "∞")
    if not 1e-4 <= abs(value) < 1e6:
        return f"{value:.{digits - 1}e}"
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])  # of the rounded value: 0.9996 is 1.00
    decimals = max(digits - 1 - exponent, 0)
    return f"{value:,.{decimals}f}"


def milliseconds(seconds: float | None) -> str:
    """Write seconds as milliseconds."""
    return NONE if seconds is None else number(1000 * seconds)


def megabytes(size: int | None) -> str:
    """Write bytes as MB."""
    return NONE if size is None else f"{size / 1e6:,.0f}"


def times(ratio: float | None) -> str:
    """Write a speed-up."""
    return NONE if ratio is None else f"{ratio:.2f}×"


def share(value: float | None) -> str:
    """Write an IoU or another share of one, four digits."""
    return NONE if value is None else f"{value:.4f}"


def count(value: int, noun: str) -> str:
    """Write `1 image`, `2 images`."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"
