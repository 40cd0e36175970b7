"""Requests: at times of their own, whether the server keeps up or not, or of clients that wait for their answers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np

from maskrt.evaluation.bench.serving.answers import Expected, Verdict
from maskrt.evaluation.bench.serving.sender import Sender

Result = TypeVar("Result")

_CONNECTIONS = 128
"""At a time at the most: half of those that `maskrt serve` takes."""
_SEED = 0


class Outcome(NamedTuple):
    """Of a request: its HTTP status, 0 where there was no answer, what the answer is, and how long it took."""

    status: int
    verdict: Verdict | None
    seconds: float


class Target(NamedTuple):
    """What is asked: a server, with these pictures in turns, of which each has the answer that is expected."""

    sender: Sender
    pictures: Sequence[bytes]
    expected: Expected


def at_rate(target: Target, rate: float, seconds: float) -> list[Outcome]:
    """Send so many requests a second: an open loop.

    Arrivals are independent of answers (a Poisson process with a fixed seed), and a request's time counts from when it
    was due, so that a server that stalls is charged for those who wait.
    """
    times = np.cumsum(np.random.default_rng(_SEED).exponential(1 / rate, max(1, round(rate * seconds))))
    start = time.perf_counter()

    def send(number: int) -> Outcome:
        due = start + times[number]
        time.sleep(max(due - time.perf_counter(), 0))
        return _send(target, number, due)[0]

    with ThreadPoolExecutor(min(_CONNECTIONS, len(times))) as pool:
        return list(pool.map(send, range(len(times))))


def by_clients(target: Target, clients: int, requests: int) -> list[Outcome]:
    """Have clients send requests, each its next one when it has the answer: a closed loop.

    One that is asked to come back waits as long as it was told before its next request.
    """
    numbers = deque(range(requests))

    def work(client: int) -> list[Outcome]:
        outcomes = list[Outcome]()
        while True:
            try:
                number = numbers.popleft()
            except IndexError:
                return outcomes
            outcome, wait = _send(target, number, time.perf_counter())
            outcomes.append(outcome)
            time.sleep(wait if numbers else 0)

    with ThreadPoolExecutor(clients) as pool:
        try:
            return [outcome for outcomes in pool.map(work, range(clients)) for outcome in outcomes]
        finally:
            numbers.clear()  # also when interrupted


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """Do it; return its result, and the seconds that it took."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def _send(target: Target, number: int, since: float) -> tuple[Outcome, float]:
    picture = number % len(target.pictures)
    reply = target.sender.send(target.pictures[picture])
    seconds = time.perf_counter() - since
    verdict = target.expected.judge(picture, reply.body) if reply.status == 200 else None
    return Outcome(reply.status, verdict, seconds), reply.retry_after
