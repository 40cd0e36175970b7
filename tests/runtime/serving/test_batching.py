from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any

import pytest

from maskrt.runtime.serving.batching import Batcher


class Work:
    """Doubles numbers; notes its batches, and waits for each to be let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(items))
        self.begun.release()
        assert self.go.acquire(timeout=60)
        if 13 in items:
            raise ArithmeticError("thirteen")
        return [ValueError("seven") if item == 7 else 2 * item for item in items]


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def batcher(work: Work) -> Iterator[Batcher[int, int]]:
    batcher: Batcher[int, int] = Batcher(work, size=3, delay=0, workers=1)
    yield batcher
    for _ in range(20):
        work.go.release()
    batcher.close()


def test_what_comes_during_a_run_is_run_together_by_key(work: Work, batcher: Batcher[int, int]) -> None:
    first = batcher.submit("a", 0)
    assert work.begun.acquire(timeout=60)
    others = [batcher.submit(key, item) for key, item in [("b", 1), ("a", 2), ("b", 3), ("b", 4), ("b", 5), ("a", 6)]]
    for _ in range(4):
        work.go.release()
    assert first.result(60) == 0
    assert [future.result(60) for future in others] == [2, 4, 6, 8, 10, 12]
    assert work.batches == [[0], [1, 3, 4], [2, 6], [5]]


def test_errors_go_to_those_they_are_about(work: Work, batcher: Batcher[int, int]) -> None:
    batcher.submit("a", 0)
    assert work.begun.acquire(timeout=60)
    futures = [batcher.submit("a", item) for item in (1, 7, 2)]
    broken = [batcher.submit("b", item) for item in (13, 5)]
    for _ in range(3):
        work.go.release()
    assert (futures[0].result(60), futures[2].result(60)) == (2, 4)
    with pytest.raises(ValueError, match="seven"):
        futures[1].result(60)
    for future in broken:
        with pytest.raises(ArithmeticError, match="thirteen"):
            future.result(60)


def test_what_is_cancelled_in_time_is_not_run(work: Work, batcher: Batcher[int, int]) -> None:
    batcher.submit("a", 0)
    assert work.begun.acquire(timeout=60)
    cancelled, kept = batcher.submit("a", 1), batcher.submit("a", 2)
    assert cancelled.cancel()
    work.go.release()
    work.go.release()
    assert kept.result(60) == 4
    assert work.batches == [[0], [2]]
    with pytest.raises(CancelledError):
        cancelled.result(0)


def test_closing_finishes_what_was_submitted(work: Work) -> None:
    batcher: Batcher[int, int] = Batcher(work, size=2, delay=1000, workers=1)
    futures = [batcher.submit("a", item) for item in range(5)]
    for _ in range(3):
        work.go.release()
    batcher.close()
    assert [future.result(0) for future in futures] == [0, 2, 4, 6, 8]
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit("a", 1)


def test_an_item_waits_for_others_no_longer_than_the_delay(work: Work) -> None:
    """A batch that is full does not wait: the delay here is longer than the test may take."""
    batcher: Batcher[int, int] = Batcher(work, size=2, delay=1000, workers=1)
    futures = [batcher.submit("a", item) for item in (1, 2)]
    work.go.release()
    assert [future.result(60) for future in futures] == [2, 4]
    batcher.close()
    patient: Batcher[int, int] = Batcher(work, size=2, delay=0.01, workers=1)
    work.go.release()
    assert patient.submit("a", 3).result(60) == 6
    patient.close()


def test_several_workers_run_at_the_same_time(work: Work) -> None:
    batcher: Batcher[int, int] = Batcher(work, size=1, delay=0, workers=2)
    futures: list[Any] = [batcher.submit("a", item) for item in (1, 2)]
    assert work.begun.acquire(timeout=60)
    assert work.begun.acquire(timeout=60)
    for _ in range(2):
        work.go.release()
    assert {future.result(60) for future in futures} == {2, 4}
    batcher.close()
