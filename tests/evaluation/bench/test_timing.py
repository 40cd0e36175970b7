from typing import Any

import numpy as np
import pytest

from maskrt.evaluation.bench import timing
from maskrt.evaluation.results.bench import Ratio, Seconds


class Clock:
    """Stands still but for what the functions that it makes take."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.calls: list[Any] = []
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(timing.time, "sleep", lambda seconds: self.calls.append(("rest", seconds)))

    def work(self, name: str, *durations: float) -> Any:
        left = iter(durations)

        def function(*value: Any) -> str:
            self.calls.append((name, *value))
            self.now += next(left)
            return name

        return function


def test_calls_in_turns_and_drops_the_first_round(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    seconds = timing.seconds_in_turns((clock.work("a", 9, 4, 6), clock.work("b", 9, 1, 2)), repeats=2)
    rest = ("rest", 0.01)
    assert clock.calls == [rest, ("a",), rest, ("b",)] * 3
    np.testing.assert_allclose(seconds, [[4, 1], [6, 2]])
    assert timing.ratio(*seconds.T) == Ratio(3.5, 3.0, 4.0)
    assert str(timing.ratio(*seconds.T)) == "3.5x (3x to 4x)"


def test_stages_hand_on_their_results_and_all_sides_take_the_same_input(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    sides = [
        [clock.work("a1", 9, 1, 2), clock.work("a2", 9, 3, 4)],
        [clock.work("b1", 9, 5, 6), clock.work("b2", 9, 7, 8)],
    ]
    seconds = timing.stage_seconds_in_turns(sides, ["x", "y"], repeats=2, warm_up=1)
    rest = ("rest", 0.01)
    turns = [[rest, ("a1", x), ("a2", "a1"), rest, ("b1", x), ("b2", "b1")] for x in ("x", "y", "x")]
    assert clock.calls == [call for turn in turns for call in turn]
    np.testing.assert_allclose(seconds, [[[1, 3], [5, 7]], [[2, 4], [6, 8]]])


def test_percentiles_by_hand() -> None:
    assert timing.percentiles(np.arange(101.0)[::-1]) == Seconds(50, 90, 99)
    assert timing.percentiles(np.array([3.0])) == Seconds(3, 3, 3)
