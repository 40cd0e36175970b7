import pytest

from maskrt.runtime import stopwatch
from maskrt.runtime.stopwatch import Stopwatch


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
    assert [line.split() for line in watch.table(images=2).splitlines()] == [
        ["stage", "ms/image", "share"],
        ["decode", "750.0", "33%"],
        ["infer", "1500.0", "67%"],
    ]
