"""Many requests at once: batches, limits, keys, and how a server begins and ends."""

from __future__ import annotations

import http.client
import re
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskrt.client import Client
from maskrt.errors import ArgumentError, ModelError
from maskrt.runtime import Segmenter
from maskrt.runtime.serving.settings import Batching

from ...support.batches import skip_unless_batches_are_exact
from ...support.served import Held, Running, Serve, png, records

server_module = pytest.importorskip("maskrt.runtime.serving.server", reason="maskrt[serve] is not installed")


def encoded(image: np.ndarray) -> bytes:
    """As PNG, which loses nothing."""
    return cv2.imencode(".png", image[:, :, ::-1])[1].tobytes()


@pytest.mark.slow
def test_pictures_of_many_requests_equal_predict_bit_by_bit(serve: Serve, shapes_onnx: Path) -> None:
    """Twenty scenes of four sizes, each with thresholds of its own, in requests that come at the same time."""
    from maskrt.shapes.scenes import generate_scene

    segmenter = Segmenter(shapes_onnx, threads=1)
    rng = np.random.default_rng(0)
    sizes = [(240, 320), (238, 318), (200, 300), (320, 240)]
    images = [cv2.resize(generate_scene(i, "test").image, sizes[i % 4][::-1]) for i in range(20)]
    skip_unless_batches_are_exact(segmenter, images)
    thresholds = [{"score_threshold": float(s), "nms_threshold": float(n)} for s, n in rng.uniform(0.05, 0.9, (20, 2))]
    expected = [records(segmenter.predict(image, **each)) for image, each in zip(images, thresholds, strict=True)]
    assert sum(map(len, expected)) > 40
    held = Held(segmenter)
    server = serve(lambda: held)
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(server.predict, encoded(images[0]), **thresholds[0])
        assert held.begun.acquire(timeout=60)
        others = [
            pool.submit(server.predict, encoded(image), **each)
            for image, each in zip(images[1:], thresholds[1:], strict=True)
        ]
        wait_for(lambda: server.metric("maskrt_images_in_flight") == 20)
        held.gate.set()
        answers = [future.result() for future in (first, *others)]
    assert [answer.json["instances"] for answer in answers] == expected
    assert held.sizes[0] == 1
    assert max(held.sizes[1:]) > 1
    assert sum(held.sizes) == 20
    assert server.metric("maskrt_batch_size_sum") == 20
    assert server.metric("maskrt_batch_size_count") == len(held.sizes)
    assert server.metric("maskrt_images_total") == 20
    several = {name: [each[name] for each in thresholds] for name in thresholds[0]}
    with Client(server.url, requests_at_once=20) as client:
        assert [records(instances) for instances in client.predict(images, **several)] == expected
    assert sum(held.sizes) == 40


def wait_for(condition: Callable[[], bool]) -> None:
    """However long it takes; the time limit is for a test that would never end."""
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to pass")


def test_beyond_the_queue_requests_are_asked_to_come_back(serve: Serve, held: Held) -> None:
    server = serve(lambda: held, queue=3)
    with ThreadPoolExecutor(3) as pool:
        taken = [pool.submit(server.predict, png()) for _ in range(3)]
        wait_for(lambda: server.metric("maskrt_images_in_flight") == 3)
        for _ in range(2):
            answer = server.predict(png())
            assert answer.status == 503
            assert int(answer.headers["retry-after"]) >= 1
            assert "The server is busy: 3 pictures are waiting" in answer.error
        held.gate.set()
        assert [future.result().status for future in taken] == [200] * 3
    assert server.predict(png()).status == 200
    assert server.metric('maskrt_requests_total{route="/predict",status="503"}') == 2


class Failing:
    """A segmenter whose model fails on batches, or on pictures of a height."""

    runs_at_once = 1

    def __init__(self, segmenter: Segmenter, error: Exception, height: int | None) -> None:
        self._segmenter, self._error, self._height = segmenter, error, height

    def __getattr__(self, name: str) -> Any:
        return getattr(self._segmenter, name)

    def infer(self, batch: Any, **thresholds: Any) -> Any:
        if len(batch.original_sizes) > 1 or batch.original_sizes[0][0] == self._height:
            raise self._error
        return self._segmenter.infer(batch, **thresholds)


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (ModelError("/secret/model.onnx failed"), 500, "The model failed on this picture"),
        (MemoryError(), 503, "not enough memory"),
    ],
)
def test_a_batch_that_fails_is_run_one_by_one(
    serve: Serve, tiny: Segmenter, error: Exception, status: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(lambda: Failing(tiny, error, height=41), batching=Batching(size=3, delay=1000))
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(server.predict, [png(40), png(41), png(42)]))
    assert [answer.status for answer in answers] == [200, status, 200]
    assert sentence in answers[1].error
    assert "secret" not in answers[1].error
    assert "Traceback" not in capsys.readouterr().err


def test_a_client_that_leaves_is_not_worked_for(serve: Serve, held: Held) -> None:
    server = serve(lambda: held)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(server.predict, png())
        assert held.begun.acquire(timeout=60)
        gone = socket.create_connection(server.address)
        gone.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(png()) + png())
        wait_for(lambda: server.metric("maskrt_images_in_flight") == 2)
        gone.close()
        wait_for(lambda: server.metric("maskrt_images_in_flight") == 1)
        held.gate.set()
        assert first.result().status == 200
    assert server.metric("maskrt_images_total") == 1


def test_half_a_body_and_half_a_head(serve: Serve, tiny: Segmenter) -> None:
    server = serve(lambda: tiny, body_seconds=0.3)
    for sent, answered in (
        (b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc", b"did not come within 0.3 s"),
        (b"POST /predict HTTP/1.1\r\nHost: loc", b""),
        (b"", b""),
        (b"\x16\x03\x01 no HTTP\r\n\r\n", b"400"),
    ):
        with socket.create_connection(server.address, timeout=60) as connection:
            connection.sendall(sent)
            received = b""
            while data := connection.recv(65536):
                received += data
        assert answered in received
    wait_for(lambda: answers(server))


def test_requests_at_the_same_time_have_a_limit(serve: Serve, held: Held) -> None:
    server = serve(lambda: held, requests=2)
    with ThreadPoolExecutor(2) as pool:
        taken = [pool.submit(server.predict, png()) for _ in range(2)]
        gauge = server.server.host.metrics.in_flight  # looked at from here: to ask for it would be one request more
        wait_for(lambda: next(iter(gauge.collect())).samples[0].value == 2)
        answer = server.predict(png())
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.error == "The server is busy with 2 requests. Try again in 1 s."
        assert server.get("/v2/health/live").status == 200
        held.gate.set()
        assert [future.result().status for future in taken] == [200, 200]
    assert server.predict(png()).status == 200


def test_all_uploads_together_have_a_limit(serve: Serve, tiny: Segmenter) -> None:
    server = serve(lambda: tiny, uploads=100_000)
    with socket.create_connection(server.address) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n" + bytes(99_000))
        wait_for(lambda: server.predict(bytes(2000)).status == 503)
        assert "busy with other uploads" in server.predict(bytes(2000)).error
    wait_for(lambda: server.predict(png()).status == 200)


def answers(server: Running) -> bool:
    """Whether it does; a test that is kept waiting is cut off, too."""
    try:
        return server.predict(png()).status == 200
    except (OSError, http.client.HTTPException):
        return False


def test_key(serve: Serve, tiny: Segmenter) -> None:
    server = serve(lambda: tiny, key="correct-horse")
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic correct-horse"}):
        for method, path in (
            ("POST", "/predict"),
            ("GET", "/metrics"),
            ("GET", "/v2/models/tiny"),
            ("GET", "/nothing"),
        ):
            answer = server.ask(method, path, png() if method == "POST" else None, headers)
            assert answer.status == 401
            assert "asks for a key" in answer.error
    assert server.ask("POST", "/predict", png(), {"Authorization": "Bearer correct-horse"}).status == 200
    for path in ("/", "/v2/health/live", "/v2/health/ready"):
        assert server.get(path).status == 200


def test_on_loopback_other_names_are_refused(serve: Serve, tiny: Segmenter) -> None:
    server = serve(lambda: tiny)
    answer = server.ask("POST", "/predict", png(), {"Host": "evil.example"})
    assert answer.status == 421
    assert "127.0.0.1" in answer.error
    assert server.ask("POST", "/predict", png(), {"Host": "LocalHost:1"}).status == 200
    assert serve(lambda: tiny, address="0.0.0.0").ask("GET", "/v2", None, {"Host": "evil.example"}).status == 200


def test_not_ready_while_the_model_is_loaded(serve: Serve, tiny: Segmenter) -> None:
    go = threading.Event()

    def load() -> Segmenter:
        assert go.wait(60)
        return tiny

    server = serve(load, wait=False)
    assert server.get("/v2/health/live").status == 200
    for path in ("/v2/health/ready", "/v2/models/tiny/ready", "/v2/models/tiny"):
        assert server.get(path).status == 503
    answer = server.predict(png())
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert "being loaded" in answer.error
    go.set()
    wait_for(lambda: server.get("/v2/health/ready").status == 200)
    assert server.predict(png()).status == 200


def test_a_model_that_does_not_load_ends_the_server(serve: Serve, write_model: Callable[..., Path]) -> None:
    path = write_model()
    path.write_bytes(path.read_bytes()[:-100])
    server = serve(lambda: Segmenter(path), wait=False)
    assert server.ended.wait(60)
    assert isinstance(server.error, ModelError)


def test_what_was_taken_is_finished(serve: Serve, held: Held) -> None:
    server = serve(lambda: held)
    with ThreadPoolExecutor(6) as pool:
        taken = [pool.submit(server.predict, png()) for _ in range(6)]
        wait_for(lambda: server.metric("maskrt_images_in_flight") == 6)
        server.server.stop()
        wait_for(lambda: refuses(server))
        held.gate.set()
        assert [future.result().status for future in taken] == [200] * 6
    assert server.ended.wait(60)
    assert server.error is None


def test_under_load_every_request_that_was_taken_is_answered(serve: Serve, tiny: Segmenter) -> None:
    """What the server counts as answered, the clients have got, whenever it is stopped."""
    server = serve(lambda: tiny)
    enough = threading.Semaphore(0)

    def ask() -> list[int]:
        statuses = []
        while True:
            try:
                statuses.append(server.predict(png()).status)
            except (OSError, http.client.HTTPException):  # nobody listens any more
                return statuses
            enough.release()

    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(ask) for _ in range(8)]
        for _ in range(100):
            assert enough.acquire(timeout=60)
        server.server.stop()
        got = [status for client in clients for status in client.result()]
    assert server.ended.wait(60)
    counted = {
        sample.labels["status"]: sample.value
        for metric in server.server.host.metrics.requests.collect()
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.labels["route"] == "/predict"
    }
    assert counted == {str(status): got.count(status) for status in set(got)}
    assert set(got) <= {200, 503}
    assert got.count(200) >= 92


def refuses(server: Running) -> bool:
    try:
        socket.create_connection(server.address).close()
    except OSError:
        return True
    return False


def test_a_port_that_is_taken(serve: Serve, tiny: Segmenter) -> None:
    server = serve(lambda: tiny)
    with pytest.raises(ArgumentError, match=r"Cannot listen on port \d+ of 127\.0\.0\.1: .*give another --port"):
        server_module.listen(*server.address)
    with pytest.raises(ArgumentError, match=r"Cannot listen on port 1 of no\.such\.host\.invalid"):
        server_module.listen("no.such.host.invalid", 1)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a/street.onnx", "street"),
        ("street.int8.onnx", "street.int8"),
        ("s.h100.engine", "s.h100"),
        ("s.openvino.xml", "s"),
    ],
)
def test_names(file: str, name: str) -> None:
    assert server_module.model_name(Path(file)) == name


def test_description_names_what_there_is(serve: Serve, tiny: Segmenter) -> None:
    server = serve(lambda: tiny)
    described = server.get("/openapi.json").json
    for path, methods in described["paths"].items():
        for method in methods:
            assert server.ask(method.upper(), path.replace("{model}", "tiny"), b"").status in (200, 400)


def test_the_page_and_every_file_that_it_loads(serve: Serve, tiny: Segmenter) -> None:
    """Without the key, which the page asks for; and no file of it that nothing loads."""
    server = serve(lambda: tiny, key="correct-horse")
    kinds = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
    loaded, waiting = set[str](), ["/"]
    while waiting:
        path = waiting.pop()
        answer = server.get(path)
        assert answer.status == 200, path
        assert answer.headers["content-type"].startswith(kinds[path.rpartition(".")[2] if path != "/" else "html"])
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        loaded.add(path)
        found = re.findall(r'(?:src="|href="|from "\./)((?:page/)?\w+\.(?:js|css))"', answer.body.decode())
        waiting += {f"/page/{name.removeprefix('page/')}" for name in found} - loaded - set(waiting)
    folder = Path(server_module.__file__).parent / "page"
    assert loaded == {"/", *(f"/page/{file.name}" for file in folder.iterdir() if file.suffix != ".html")}
    assert server.get("/page/index.html").status == server.get("/page/../app.py").status == 401
