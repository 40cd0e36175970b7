"""The builder's progress."""

import io

import pytest

from maskrt.engines.builders.tensorrt import progress
from maskrt.engines.builders.tensorrt.progress import BuildProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be moved by the test."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    return now


def test_a_line_is_redrawn_on_a_terminal(clock: list[float]) -> None:
    stream = Terminal()
    shown = BuildProgress("Building", stream)
    clock[0] += 3
    shown.phase_start("Outer", None, 2)
    clock[0] += 1
    shown.phase_start("Inner", "Outer", 10)
    clock[0] += 1
    assert shown.step_complete("Inner", 4)
    shown.phase_finish("Inner")
    clock[0] += 1
    assert shown.step_complete("Outer", 0)
    shown.close()
    lines = stream.getvalue().split("\r\033[K")
    assert lines == [
        "",
        "Building  3 s  Outer 0/2",
        "Building  4 s  Inner 0/10",
        "Building  5 s  Inner 5/10",
        "Building  6 s  Outer 1/2",
        "",
    ]


def test_few_lines_in_a_file(clock: list[float]) -> None:
    stream = io.StringIO()
    shown = BuildProgress("Building", stream)
    shown.phase_start("Phase", None, 100)
    for step in range(100):
        clock[0] += 0.25
        shown.step_complete("Phase", step)
    shown.close()
    assert stream.getvalue() == "Building  10 s  Phase 40/100\nBuilding  20 s  Phase 80/100\n"


def test_cancelling_stops_the_builder() -> None:
    shown = BuildProgress("Building", io.StringIO())
    shown.phase_start("Phase", None, 3)
    assert shown.step_complete("Phase", 0)
    shown.cancelled = True
    assert not shown.step_complete("Phase", 1)


def test_a_closed_terminal_does_not_matter(clock: list[float]) -> None:
    stream = Terminal()
    shown = BuildProgress("Building", stream)
    stream.close()
    clock[0] += 1
    shown.phase_start("Phase", None, 3)
    assert shown.step_complete("Phase", 0)
    shown.close()
