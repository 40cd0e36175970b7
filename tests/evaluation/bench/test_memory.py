import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from maskrt.evaluation.bench.memory import peak_memory
from maskrt.evaluation.bench.sides import Side

MEGABYTE = 1_000_000


def open_side(stage: Callable[[list[Path]], list]) -> Side:
    return Side("a", "fp32", "none", "", [stage])


def take_and_give_back(megabytes: int, files: list[Path]) -> list:
    np.ones(megabytes * MEGABYTE, np.uint8)
    return []


def die(files: list[Path]) -> list:
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def test_the_peak_counts_and_this_process_does_not() -> None:
    ballast = np.ones(800 * MEGABYTE, np.uint8)
    small, large = (
        peak_memory(partial(open_side, partial(take_and_give_back, megabytes)), [[]]).host for megabytes in (1, 300)
    )
    assert ballast.any()
    assert small is not None and large is not None
    assert small < 700 * MEGABYTE
    assert 250 * MEGABYTE < large - small < 350 * MEGABYTE


def test_a_killed_process_is_told() -> None:
    with pytest.raises(MemoryError, match="was killed"):
        peak_memory(partial(open_side, die), [[]])
