import pytest

from maskrt.runtime.streaming import stopwatch
from maskrt.runtime.streaming.stopwatch import FrameRate, Stopwatch


def test_adds_up_stages_also_when_they_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 10.0, 13.0, 20.0, 20.5])
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: next(clock))
    watch = Stopwatch()
    with watch.stage("decode"):
        pass
    with watch.stage("infer"):
        pass
    with pytest.raises(ValueError, match="bad"), watch.stage("decode"):
        raise ValueError("bad")
    assert watch.seconds == {"decode": 1.5, "infer": 3.0}
    assert [line.split() for line in watch.table(images=2).splitlines()] == [
        ["stage", "ms/image", "share"],
        ["decode", "750.0", "33%"],
        ["infer", "1500.0", "67%"],
    ]


def test_frame_rate_is_that_of_the_last_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.5, 1.0, 1.1, 1.2, 1.2])
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: next(clock))
    rate = FrameRate(window=2)
    assert [rate.tick() for _ in range(5)] == pytest.approx([0, 2, 2, 2 / 0.6, 10])
    assert FrameRate(window=1).tick() == 0
