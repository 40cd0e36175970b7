from typing import Any

import numpy as np
import pytest

from maskrt.evaluation import timing


def test_calls_in_turns_and_drops_the_first_round(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    calls: list[str] = []

    def work(name: str, *durations: float) -> Any:
        left = iter(durations)

        def function() -> None:
            calls.append(name)
            clock[0] += next(left)

        return function

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    seconds = timing.seconds_in_turns((work("a", 9, 4, 6), work("b", 9, 1, 2)), repeats=2)
    assert calls == ["a", "b"] * 3
    np.testing.assert_allclose(seconds, [[4, 1], [6, 2]])
    assert timing.ratio(*seconds.T) == (3.5, 3.0, 4.0)
    assert str(timing.ratio(*seconds.T)) == "3.5x (3x to 4x)"
