"""How far a file may differ from its source model: a budget for each precision."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

from maskrt.contract.precision import PRECISIONS, Budget
from maskrt.errors import ArgumentError

DEFAULT_BUDGETS: Mapping[str, Budget] = {name: precision.budget for name, precision in PRECISIONS.items()}

_LIMITS = {"snr_db": (0.0, 200.0), "box_px": (0.0, math.inf)}
"""Of the values that are not a share, 0–1."""


def read_budgets(settings: Sequence[str]) -> dict[str, Budget]:
    """Read the default budgets with some values changed.

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
