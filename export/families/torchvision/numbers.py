"""Settings of a model's parts, which anybody may have set to anything, as the numbers that the spec takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from maskrt.export.errors import UnsupportedModelError


def number(value: Any, name: str) -> float:
    """Return a finite number.

    Args:
        value: of the setting.
        name: of the setting in the model, for the message.

    Raises:
        UnsupportedModelError: it is something else.
    """
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    try:
        result = math.nan if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError, OverflowError):
        result = math.nan
    if not math.isfinite(result):
        raise UnsupportedModelError(f"cannot export this model: its {name} is {value!r}; expected a finite number")
    return result


def whole(value: Any, name: str) -> int:
    """Return a whole number; see `number`."""
    result = number(value, name)
    if result != int(result):
        raise UnsupportedModelError(f"cannot export this model: its {name} is {value!r}; expected a whole number")
    return int(result)


def numbers(values: Any, name: str, count: int) -> tuple[float, ...]:
    """Return `count` finite numbers; see `number`."""
    if isinstance(values, Tensor):
        values = values.tolist()
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != count:
        raise UnsupportedModelError(f"cannot export this model: its {name} is {values!r}; expected {count} numbers")
    return tuple(number(value, name) for value in values)


def last_size(values: Any, name: str) -> int:
    """Return the last of the sizes for training, which is the one for inference, as a whole number."""
    if not isinstance(values, list | tuple) or not values:
        raise UnsupportedModelError(
            f"cannot export this model: its {name} is {values!r}; torchvision takes a tuple of sizes, ({values},)"
        )
    return whole(values[-1], name)
