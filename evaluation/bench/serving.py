"""A load test: requests to a server at times of their own, whether it keeps up or not."""

from __future__ import annotations

import http.client
import re
import threading
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TextIO

import numpy as np

from maskrt.client import Client
from maskrt.errors import ServerError
from maskrt.evaluation.bench.pictures import gather_pictures
from maskrt.evaluation.bench.table import serving_table
from maskrt.evaluation.bench.timing import percentiles
from maskrt.evaluation.environment import describe_environment
from maskrt.evaluation.results.bench import Benchmark, ServingRecord, Settings
from maskrt.options import Thresholds
from maskrt.terminal import say

_CONNECTIONS = 128
"""At a time at the most: half of those that `maskrt serve` takes."""
_SEED = 0
_TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Load:
    """What is sent.

    Attributes:
        url: of the server.
        images: files, folders and globs, taken in turns.
        limit: how many image files, the first ones.
        rates: requests a second, one measurement for each.
        seconds: that requests are sent in each.
        thresholds: of all requests.
        key: that the server asks for.
    """

    url: str
    images: Sequence[str]
    limit: int
    rates: Sequence[float]
    seconds: float
    thresholds: Thresholds
    key: str | None = None


class _Outcome(NamedTuple):
    """Of a request: its HTTP status, 0 where there was no answer, and seconds from when it was due."""

    status: int
    seconds: float


def measure_serving(load: Load, stream: TextIO | None = None) -> Benchmark:
    """Measure a server at each rate, and print a table.

    Arrivals are independent of answers (an open loop, of a Poisson process with a fixed seed), and a request's time
    counts from when it was due, so that a server that stalls is charged for those who wait.

    Raises:
        ServerError: there is no server of maskrt, or it answered none.
        MaskrtError: there are no images.
    """
    files = gather_pictures(load.images, load.limit)
    pictures = [file.read_bytes() for file in files]
    with Client(load.url, api_key=load.key) as client:
        model = client.model
        for file in files[:2]:  # it is there, takes such pictures, and has done so before
            client.predict(file, score_threshold=load.thresholds.score, nms_threshold=load.thresholds.nms)
    records = [_at_rate(load, model, rate, pictures) for rate in load.rates]
    say("", f"{model} of {load.url}, {load.seconds:g} s each", *serving_table(records), file=stream)
    return Benchmark(
        environment=describe_environment(),
        settings=Settings(None, 1, 1, len(files)),
        pipeline=(),
        failed=(),
        operations=(),
        serving=tuple(records),
    )


def _at_rate(load: Load, model: str, rate: float, pictures: Sequence[bytes]) -> ServingRecord:
    times = np.cumsum(np.random.default_rng(_SEED).exponential(1 / rate, max(1, round(rate * load.seconds))))
    sender = _Sender(load)
    before = sender.metrics()
    start = time.perf_counter()

    def send(number: int) -> _Outcome:
        due = start + times[number]
        time.sleep(max(due - time.perf_counter(), 0))
        status = sender.send(pictures[number % len(pictures)])
        return _Outcome(status, time.perf_counter() - due)

    with ThreadPoolExecutor(min(_CONNECTIONS, len(times))) as pool:
        outcomes = list(pool.map(send, range(len(times))))
    duration = time.perf_counter() - start
    after = sender.metrics()
    answered = [outcome.seconds for outcome in outcomes if outcome.status == 200]
    busy = sum(outcome.status == 503 for outcome in outcomes)
    if not answered:
        raise ServerError(f"{load.url} answered none of {len(outcomes)} requests: {busy} times it was busy.")
    return ServingRecord(
        name=model,
        rate=rate,
        duration=duration,
        sent=len(outcomes),
        answered=len(answered),
        busy=busy,
        failed=len(outcomes) - len(answered) - busy,
        seconds=percentiles(np.array(answered)),
        answers_per_second=len(answered) / duration,
        batches=_batches(before, after),
        queue_seconds=_mean(before, after, "maskrt_stage_seconds", '{stage="queue"}'),
    )


class _Sender:
    """Sends pictures, each thread over a connection of its own that stays open."""

    def __init__(self, load: Load) -> None:
        parts = urllib.parse.urlsplit(load.url)
        self._make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._address = parts.hostname or "", parts.port
        self._path = parts.path.rstrip("/")
        given = {"score_threshold": load.thresholds.score, "nms_threshold": load.thresholds.nms}
        self._query = urllib.parse.urlencode({name: value for name, value in given.items() if value is not None})
        self._headers = {"Content-Type": "application/octet-stream"}
        if load.key is not None:
            self._headers["Authorization"] = f"Bearer {load.key}"
        self._own = threading.local()

    def send(self, picture: bytes) -> int:
        """Send a picture; return the status of the answer, 0: there was none."""
        return self._ask("POST", f"/predict?{self._query}", picture)[0]

    def metrics(self) -> Mapping[str, float]:
        """Return what the server has counted; nothing where it is another one than `maskrt serve`."""
        status, body = self._ask("GET", "/metrics", None)
        lines = re.findall(r"^([a-z_]+(?:\{[^}]*\})?) (\S+)$", body.decode("utf-8", "replace"), re.MULTILINE)
        return {name: float(value) for name, value in lines} if status == 200 else {}

    def _ask(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        reused = getattr(self._own, "connection", None)
        connection = reused or self._make(*self._address, timeout=_TIMEOUT_SECONDS)
        self._own.connection = None
        try:
            connection.request(method, self._path + path, body, self._headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            # The server may have closed it in the meantime, before it saw the request.
            return self._ask(method, path, body) if reused and not isinstance(error, TimeoutError) else (0, b"")
        self._own.connection = connection
        return response.status, content


def _batches(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, int]:
    """Count the batches of each size, from the buckets of a histogram, which are cumulative."""
    limits = re.findall(r'maskrt_batch_size_bucket\{le="(\d+)\.0"\}', "\n".join(after))
    counts, below = {}, 0.0
    for limit in sorted(limits, key=int):
        name = f'maskrt_batch_size_bucket{{le="{limit}.0"}}'
        reached = after[name] - before.get(name, 0.0)
        counts[limit] = round(reached - below)
        below = reached
    return counts


def _mean(before: Mapping[str, float], after: Mapping[str, float], name: str, labels: str) -> float | None:
    total, count = (
        after.get(f"{name}_{end}{labels}", 0.0) - before.get(f"{name}_{end}{labels}", 0.0) for end in ("sum", "count")
    )
    return total / count if count else None
