"""What is compared with what, on a GPU that is played: a launch takes 8 us, each of our calls 3 us."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from maskrt.tools.kernel_benchmark import timing

LAUNCH, OURS = 8.0, 3.0


class FakeGpu:
    """A clock that work advances; while the stream is held back, launches cost nothing."""

    def __init__(self) -> None:
        self.now, self.held, self.capturing = 0.0, False, 0

    def call(self, microseconds: float) -> None:
        if self.capturing:
            self.capturing += 1
            return
        self.now += microseconds + (0 if self.held else LAUNCH)

    def event(self, enable_timing: bool) -> Any:
        event = SimpleNamespace(at=0.0)

        def record() -> None:
            event.at = self.now

        event.record = record
        event.synchronize = lambda: setattr(self, "held", False)
        event.elapsed_time = lambda other: (other.at - event.at) / 1e3
        return event

    def graph(self, graph: Any) -> Any:
        class Capture:
            def __enter__(_) -> None:
                self.capturing = 1

            def __exit__(_, *__: object) -> None:
                calls, self.capturing = self.capturing - 1, 0
                graph.replay = lambda: self.call(calls * OURS)

        return Capture()


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    fake = FakeGpu()
    cuda = SimpleNamespace(
        Event=fake.event,
        CUDAGraph=SimpleNamespace,
        graph=fake.graph,
        synchronize=lambda: None,
        _sleep=lambda cycles: setattr(fake, "held", True),
    )
    monkeypatch.setattr(timing, "torch", SimpleNamespace(cuda=cuda))
    return fake


def test_launches_are_not_counted(gpu: FakeGpu) -> None:
    """Ours run many times from one graph; theirs are queued before the GPU begins. The fastest of theirs counts."""

    def of(microseconds: float) -> Callable[[], None]:
        return lambda: gpu.call(microseconds)

    found = timing.compare(of(OURS), {"loop": of(30.0), "shifted": of(12.0)}, 1)
    assert found["ours_us"]["median"] == pytest.approx(OURS + LAUNCH / timing.CALLS_PER_GRAPH)
    assert found["ours_with_python_us"]["median"] == pytest.approx(OURS + LAUNCH)
    assert {name: times["median"] for name, times in found["theirs_us"].items()} == pytest.approx(
        {"loop": 30.0, "shifted": 12.0}
    )
    assert found["fastest_of_theirs"] == "shifted"
    assert found["speedup"] == pytest.approx(12.0 / found["ours_us"]["median"])


def test_a_call_of_several(gpu: FakeGpu) -> None:
    def four() -> None:
        for _ in range(4):
            gpu.call(OURS)

    found = timing.compare(four, lambda: gpu.call(40.0), 4)
    assert found["ours_us"]["median"] == pytest.approx(OURS + LAUNCH / timing.CALLS_PER_GRAPH / 4)
    assert found["theirs_us"]["torchvision"]["median"] == pytest.approx(10.0)
