"""Timing several ways of doing one thing, so that their ratio means something on a busy machine."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Ratio(NamedTuple):
    """How many times faster one side is than the other: the median over the repeats, and the extremes."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.3g}x ({self.least:.3g}x to {self.most:.3g}x)"


def seconds_in_turns(functions: Sequence[Callable[[], object]], repeats: int) -> np.ndarray:
    """Call each function once, then all in turns, so that a change in the machine's speed meets each.

    Returns:
        [repeats, number of functions] float64 wall time in seconds of each call but the first ones.
    """
    seconds = np.empty((repeats + 1, len(functions)))
    for row in seconds:
        for i, function in enumerate(functions):
            start = time.perf_counter()
            function()
            row[i] = time.perf_counter() - start
    return seconds[1:]


def ratio(slow: np.ndarray, fast: np.ndarray) -> Ratio:
    """The ratio of two columns of `seconds_in_turns`, turn by turn."""
    ratios = slow / fast
    return Ratio(float(np.median(ratios)), float(ratios.min()), float(ratios.max()))
