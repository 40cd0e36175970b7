"""A load test: what a server makes of requests, and what it costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from maskrt.client import Client
from maskrt.errors import ServerError
from maskrt.evaluation.bench.pictures import gather_pictures
from maskrt.evaluation.bench.serving import counters
from maskrt.evaluation.bench.serving.answers import Expected, Verdict
from maskrt.evaluation.bench.serving.counters import Counters
from maskrt.evaluation.bench.serving.load import Outcome, Target, at_rate, by_clients, timed
from maskrt.evaluation.bench.serving.sender import Sender
from maskrt.evaluation.bench.sides import stream_files
from maskrt.evaluation.bench.table import serving_table
from maskrt.evaluation.bench.timing import percentiles, ratio
from maskrt.evaluation.environment import describe_environment
from maskrt.evaluation.results.bench import Benchmark, ServerMemory, ServingRecord, Settings, StreamRecord
from maskrt.options import Thresholds
from maskrt.runtime import Segmenter
from maskrt.terminal import say


class Rate(NamedTuple):
    """Requests a second; `relative`: times as many as clients got answers."""

    value: float
    relative: bool = False


@dataclass(frozen=True)
class Clients:
    """A closed loop: each client sends its next request when it has an answer.

    Attributes:
        number: of the clients.
        requests: that they send, in each turn.
        warm_up: requests before them.
        turns: how often, in turns with the stream.
        batch_sizes: of the stream.
    """

    number: int
    requests: int
    warm_up: int
    turns: int = 1
    batch_sizes: Sequence[int] = ()


@dataclass(frozen=True)
class Load:
    """What is sent.

    Attributes:
        url: of the server.
        images: files, folders and globs, taken in turns.
        limit: how many image files, the first ones.
        clients: the closed loop, which comes first; None: there is none.
        rates: of open loops, one after the other.
        seconds: that requests are sent in each of these.
        thresholds: of all requests.
        key: that the server asks for.
    """

    url: str
    images: Sequence[str]
    limit: int
    clients: Clients | None
    rates: Sequence[Rate]
    seconds: float
    thresholds: Thresholds
    key: str | None = None


def measure_serving(load: Load, segmenter: Segmenter | None = None, stream: TextIO | None = None) -> Benchmark:
    """Measure a server under each load, and print a table.

    Every answer is compared with the one to the same picture alone, before the load.

    Args:
        load: what is sent.
        segmenter: the model that the server has, for its stream, in turns with the clients; None: the server alone.
        stream: where the table goes; None: standard output.

    Raises:
        ServerError: there is no server of maskrt, it has a model of other classes, refuses a picture, or answered none.
        MaskrtError: there are no images.
    """
    files = gather_pictures(load.images, load.limit)
    pictures = [file.read_bytes() for file in files]
    class_names = None if segmenter is None else segmenter.class_names
    with Client(load.url, api_key=load.key, class_names=class_names) as client:
        model = client.model
    sender = Sender(load.url, load.thresholds, load.key)
    target = Target(sender, pictures, _alone(load.url, sender, files, pictures))
    measurement = _Measurement(load, model, target)
    records = []
    if load.clients is not None:
        records.append(measurement.by_clients(load.clients, segmenter, files))
    for rate in load.rates:
        value = rate.value * (records[0].answers_per_second if rate.relative else 1)
        records.append(measurement.at_rate(value))
    say("", f"{model} of {load.url}", *serving_table(records), file=stream)
    if not target.expected.told_apart:
        say("All pictures have one answer: it could not be told whether any went to the wrong client.", file=stream)
    turns, warm_up = (1, 1) if load.clients is None else (load.clients.turns, load.clients.warm_up)
    return Benchmark(
        environment=describe_environment(),
        settings=Settings(None, turns, warm_up, len(files)),
        pipeline=(),
        failed=(),
        operations=(),
        serving=tuple(records),
    )


def _alone(url: str, sender: Sender, files: Sequence[Path], pictures: Sequence[bytes]) -> Expected:
    """Have each picture answered alone, which also gets the server ready for its size."""
    bodies = []
    for file, picture in zip(files, pictures, strict=True):
        reply = sender.send(picture)
        if reply.status != 200:
            answer = f"answered {reply.status}: {_sentence(reply.body)}" if reply.status else "did not answer."
            raise ServerError(f"{file} was sent alone, and {url} {answer}")
        bodies.append(reply.body)
    try:
        return Expected(bodies)
    except ValueError:
        raise ServerError(f"{url} does not answer POST /predict as `maskrt serve`, which is tested here.") from None


def _sentence(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return "no sentence."


class _Measurement:
    """Of one server.

    Args:
        load: what is sent.
        model: its name there.
        target: the server, with the pictures.
    """

    def __init__(self, load: Load, model: str, target: Target) -> None:
        self._load, self._model, self._target = load, model, target

    def at_rate(self, rate: float) -> ServingRecord:
        """Measure an open loop."""
        before = self._target.sender.metrics()
        outcomes, duration = timed(partial(at_rate, self._target, rate, self._load.seconds))
        return self._record(None, rate, outcomes, duration, before)

    def by_clients(self, clients: Clients, segmenter: Segmenter | None, files: Sequence[Path]) -> ServingRecord:
        """Measure the clients, and in turns with them the stream of the same pictures."""
        streams: list[Callable[[], None]] = []
        if segmenter is not None:
            sent, own = [files[number % len(files)] for number in range(clients.requests)], self._load.thresholds
            streams = [partial(stream_files, segmenter, sent, batch, own) for batch in clients.batch_sizes]
            for batch in clients.batch_sizes:
                stream_files(segmenter, files, batch, own)
        send = partial(by_clients, self._target, clients.number)
        send(clients.warm_up)
        before = self._target.sender.metrics()
        outcomes, duration = list[Outcome](), 0.0
        seconds_each = np.empty((clients.turns, 1 + len(streams)))  # of a picture: the server, streams
        for of_turn in seconds_each:
            found, seconds = timed(partial(send, clients.requests))
            outcomes += found
            duration += seconds
            of_turn[0] = seconds / max(sum(map(_is_answer, found)), 1)
            of_turn[1:] = [timed(stream)[1] / clients.requests for stream in streams]
        records = tuple(
            StreamRecord(batch, float(1 / np.median(column)), ratio(column, seconds_each[:, 0]))
            for batch, column in zip(clients.batch_sizes, seconds_each.T[1:], strict=False)
        )
        return self._record(clients.number, None, outcomes, duration, before, records)

    def _record(
        self,
        clients: int | None,
        rate: float | None,
        outcomes: Sequence[Outcome],
        duration: float,
        before: Counters,
        streams: tuple[StreamRecord, ...] = (),
    ) -> ServingRecord:
        after = self._target.sender.metrics()
        answered = list(filter(_is_answer, outcomes))
        verdicts = [outcome.verdict for outcome in outcomes]
        busy, lost = (sum(outcome.status == status for outcome in outcomes) for status in (503, 0))
        if not answered:
            raise ServerError(f"{self._load.url} answered none of {len(outcomes)} requests: {busy} times it was busy.")
        mixed_up = verdicts.count(Verdict.MIXED_UP)
        return ServingRecord(
            name=self._model,
            clients=clients,
            rate=rate,
            duration=duration,
            sent=len(outcomes),
            answered=len(answered),
            busy=busy,
            failed=len(outcomes) - len(answered) - busy - lost - mixed_up,
            lost=lost,
            mixed_up=mixed_up,
            deviating=verdicts.count(Verdict.DEVIATING),
            seconds=percentiles(np.array([outcome.seconds for outcome in answered])),
            answers_per_second=len(answered) / duration,
            batches=counters.batches(before, after),
            queue_seconds=counters.mean_queue_seconds(before, after),
            memory=_memory(before, after),
            streams=streams,
        )


def _is_answer(outcome: Outcome) -> bool:
    return outcome.verdict in (Verdict.RIGHT, Verdict.DEVIATING)


def _memory(before: Counters, after: Counters) -> ServerMemory | None:
    first, last = (counters.resident_bytes(each) for each in (before, after))
    return None if first is None or last is None else ServerMemory(first, last, last / first - 1)
