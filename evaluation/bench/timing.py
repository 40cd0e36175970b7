"""Timing several ways of doing one thing, so that their ratio means something on a busy machine."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from maskrt.evaluation.results.bench import Ratio, Seconds

_SETTLING_SECONDS = 0.01
"""Rest before each side's turn. PyTorch's OpenMP threads (libgomp) keep a core busy, waiting for more work, for up to
3.9 ms after their last: without the rest, that is taken from the next side, which may need less time than that."""


def seconds_in_turns(functions: Sequence[Callable[[], object]], repeats: int) -> np.ndarray:
    """Call each function once, then all in turns, so that a change in the machine's speed meets each.

    Returns:
        [repeats, number of functions] float64 wall time in seconds of each call but the first ones.
    """
    stages = [[lambda _, call=function: call()] for function in functions]
    return stage_seconds_in_turns(stages, [None], repeats, warm_up=1)[..., 0]


def stage_seconds_in_turns(
    sides: Sequence[Sequence[Callable[[Any], Any]]], inputs: Sequence[Any], repeats: int, warm_up: int
) -> np.ndarray:
    """Run each side on the same input, then all on the next input, and so on, around and around.

    Before each side there is a rest of 10 ms, which is not counted, so that the threads of the one before fall asleep.

    Args:
        sides: of each, its stages in order, the same number for all. The first stage takes an input, each other one
            what the one before returned.
        inputs: at least one.
        repeats: turns that are measured.
        warm_up: turns before them that are not: lazy initialisation, caches, compilation.

    Returns:
        [repeats, sides, stages] float64 wall time in seconds.
    """
    seconds = np.empty((warm_up + repeats, len(sides), len(sides[0])))
    for turn, of_turn in enumerate(seconds):
        for stages, of_side in zip(sides, of_turn, strict=True):
            value = inputs[turn % len(inputs)]
            time.sleep(_SETTLING_SECONDS)
            for number, stage in enumerate(stages):
                start = time.perf_counter()
                value = stage(value)
                of_side[number] = time.perf_counter() - start
    return seconds[warm_up:]


def ratio(slow: np.ndarray, fast: np.ndarray) -> Ratio:
    """Divide two columns of seconds, turn by turn."""
    ratios = slow / fast
    return Ratio(float(np.median(ratios)), float(ratios.min()), float(ratios.max()))


def percentiles(seconds: np.ndarray) -> Seconds:
    """Find the percentiles of wall times; between two of them by linear interpolation."""
    return Seconds(*map(float, np.percentile(seconds, (50, 90, 99))))
