"""How far a file may differ from its source model: a budget for each precision."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace

from maskrt.errors import ArgumentError


@dataclass(frozen=True)
class Budget:
    """What the differences of a precision may amount to.

    Attributes:
        snr_db: least signal to noise of every tensor, dB.
        proposals: least share of the source model's proposals that the file proposes too, 0–1.
        unmatched: largest share of detections without a counterpart, 0–1.
        box_px: largest difference of nine of ten matched boxes, canvas pixels.
        score: largest difference of nine of ten of their scores, 0–1.
        mask_iou: least IoU of nine of ten of their masks, 0–1.
    """

    snr_db: float
    proposals: float
    unmatched: float
    box_px: float
    score: float
    mask_iou: float

    def to_json(self) -> dict[str, float]:
        return asdict(self)


# On the demo model FP32 has 117 dB and more on every tensor, FP16 61, INT8 20, FP8 12, and a convolution mis-scaled by
# one percent 40. Boxes, scores and masks of FP32 and FP16 differ by what a uint8 input rounds.
DEFAULT_BUDGETS: Mapping[str, Budget] = {
    "fp32": Budget(snr_db=90.0, proposals=0.97, unmatched=0.05, box_px=0.5, score=0.03, mask_iou=0.95),
    "fp16": Budget(snr_db=45.0, proposals=0.95, unmatched=0.05, box_px=0.5, score=0.03, mask_iou=0.95),
    "int8": Budget(snr_db=12.0, proposals=0.75, unmatched=0.1, box_px=6.0, score=0.15, mask_iou=0.85),
    "fp8": Budget(snr_db=8.0, proposals=0.6, unmatched=0.15, box_px=15.0, score=0.25, mask_iou=0.8),
}

_LIMITS = {"snr_db": (0.0, 200.0), "box_px": (0.0, math.inf)}
"""Of the values that are not a share, 0–1."""


def read_budgets(settings: Sequence[str]) -> dict[str, Budget]:
    """The default budgets with some values changed.

    Args:
        settings: each `NAME=VALUE` for every precision, or `PRECISION:NAME=VALUE` for one.

    Raises:
        ArgumentError: a setting is of another form, or its value makes no sense.
    """
    budgets = dict(DEFAULT_BUDGETS)
    names = [field.name for field in fields(Budget)]
    for setting in settings:
        key, equals, text = setting.partition("=")
        precision, colon, name = key.rpartition(":")
        if not equals or name not in names:
            raise ArgumentError(
                f"The budget {setting!r} is not understood: expected NAME=VALUE or PRECISION:NAME=VALUE, for example "
                f"int8:mask_iou=0.9, with a NAME of {', '.join(names)}."
            )
        if colon and precision not in budgets:
            raise ArgumentError(f"The budget {setting!r} is for {precision!r}, expected one of {', '.join(budgets)}.")
        value = _value(setting, name, text)
        for chosen in [precision] if colon else list(budgets):
            budgets[chosen] = replace(budgets[chosen], **{name: value})
    return budgets


def _value(setting: str, name: str, text: str) -> float:
    low, high = _LIMITS.get(name, (0.0, 1.0))
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (low <= value <= high and math.isfinite(value)):
        limits = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of at least {low:g}"
        raise ArgumentError(f"The budget {setting!r} makes no sense: {name} should be a number {limits}.")
    return value
