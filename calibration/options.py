"""How a calibration is done: the options and their defaults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Method = Literal["max", "percentile", "entropy"]
"""How ranges follow from values, see `thresholds`."""

METHODS: tuple[Method, ...] = get_args(Method)

DEFAULT_METHOD: Method = "percentile"
DEFAULT_PERCENTILE = 99.99
"""What measured best on the demo model: `python -m maskrt.tools.calibration_methods`, and docs/quantization.md."""

SENSIBLE_COUNT = 64
"""Images: what the demo model's figures were measured with."""

LEAST_COUNT = 8
"""Images: with fewer, the ranges are those of the particular images."""


@dataclass(frozen=True)
class CalibrationOptions:
    """How ranges are measured.

    Attributes:
        images: image files, folders of them, globs, and videos.
        limit: how many images are looked at.
        seed: of their choice.
        method: how ranges follow from values.
        percentile: for "percentile": how many per cent of the absolute values a range covers.
        cache: where the ranges are kept; None: beside the output.
    """

    images: Sequence[Path]
    limit: int = SENSIBLE_COUNT
    seed: int = 0
    method: Method = DEFAULT_METHOD
    percentile: float = DEFAULT_PERCENTILE
    cache: Path | None = None
