"""A server in a thread of the test, and what asks it."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest

from maskrt.runtime import Segmenter
from maskrt.runtime.backends.base import Detections
from maskrt.runtime.serving.settings import Batching, Limits
from maskrt.runtime.structures.instances import Instances


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The sentence of a refusal."""
        assert self.headers["content-type"] == "application/json", self
        return self.json["error"]


class Running:
    """A server at work; `ask` opens a connection for each request."""

    def __init__(self, server: Any, address: tuple[str, int]) -> None:
        self.server, self.address = server, address
        self.ended = threading.Event()
        self.error: BaseException | None = None

    @property
    def url(self) -> str:
        return "http://{}:{}".format(*self.address)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection(*self.address, timeout=120)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Answer(
                response.status, {key.lower(): value for key, value in response.getheaders()}, response.read()
            )
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def predict(self, picture: bytes, **options: object) -> Answer:
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return self.ask("POST", f"/predict?{query}", picture)

    def infer(self, content: Any, binary: bytes = b"") -> Answer:
        head = json.dumps(content).encode()
        headers = {"Inference-Header-Content-Length": str(len(head))} if binary else {}
        return self.ask("POST", f"/v2/models/{self.server.host.model}/infer", head + binary, headers)

    def metric(self, name: str) -> float:
        """The value of a line of /metrics."""
        (line,) = [line for line in self.get("/metrics").body.decode().splitlines() if line.startswith(f"{name} ")]
        return float(line.rpartition(" ")[2])


Serve = Callable[..., Running]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(open_model, key=..., batching=..., **limits)` -> a server, ready unless `wait=False`."""
    server_module = pytest.importorskip("maskrt.runtime.serving.server", reason="maskrt[serve] is not installed")
    running: list[Running] = []

    def start(
        open_model: Callable[[], Any],
        *,
        key: str | None = None,
        batching: Batching | None = None,
        address: str = "127.0.0.1",
        name: str = "tiny",
        wait: bool = True,
        **limits: Any,
    ) -> Running:
        listener = server_module.listen(address, 0)
        place = listener.getsockname()[:2]
        ready = threading.Event()
        server = server_module.Server(
            listener,
            open_model,
            name,
            Limits(**limits),
            batching or Batching(),
            key=key,
            on_ready=lambda segmenter: ready.set(),
        )
        started = Running(server, ("127.0.0.1", place[1]))

        def run() -> None:
            try:
                server.run()
            except BaseException as error:
                started.error = error
            finally:
                started.ended.set()

        threading.Thread(target=run, daemon=True).start()
        running.append(started)
        if wait:
            assert ready.wait(60)
        return started

    yield start
    for started in running:
        started.server.stop()
    for started in running:
        assert started.ended.wait(60)


@pytest.fixture
def tiny(write_model: Callable[..., Path]) -> Segmenter:
    """The model that finds the same three objects in every picture."""
    return Segmenter(write_model())


class Held:
    """A segmenter whose runs wait until they are let go; `sizes` are those of its batches."""

    runs_at_once = 1

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self.gate, self.begun = threading.Event(), threading.Semaphore(0)
        self.sizes: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._segmenter, name)

    def infer(self, batch: Any, **thresholds: Sequence[float]) -> Detections:
        self.sizes.append(len(batch.image_sizes))
        self.begun.release()
        assert self.gate.wait(60)
        return self._segmenter.infer(batch, **thresholds)


@pytest.fixture
def held(tiny: Segmenter) -> Held:
    return Held(tiny)


def png(height: int = 48, width: int = 64, seed: int = 0) -> bytes:
    """A picture of noise as a PNG file."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    encoded, data = cv2.imencode(".png", pixels)
    assert encoded
    return data.tobytes()


def records(instances: Instances) -> list[dict[str, Any]]:
    """What `/predict` says of instances, after JSON."""
    found = [{**record, "category": instances.class_names[record["category_id"]]} for record in instances.to_coco(0)]
    return json.loads(json.dumps([{key: value for key, value in each.items() if key != "image_id"} for each in found]))
