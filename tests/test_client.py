"""The client, with `maskrt serve` and with servers that are odd."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskrt.client import Client
from maskrt.errors import ArgumentError, ImageError, ServerError
from maskrt.runtime import Instances, Segmenter

from .support.served import Held, Serve, png


def same(got: Instances, expected: Instances) -> bool:
    """Bit for bit, and of the same types."""
    arrays = ("boxes", "scores", "labels")
    pairs = [(getattr(got, name), getattr(expected, name)) for name in arrays]
    if expected.keypoints is not None:
        pairs.append((got.keypoints, expected.keypoints))
    return (
        all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)
        and got.to_coco(0) == expected.to_coco(0)
        and (got.class_names, got.image_size) == (expected.class_names, expected.image_size)
        and got.keypoint_names == expected.keypoint_names
        and got.has_masks == expected.has_masks
    )


def test_results_are_those_of_the_segmenter(serve: Serve, tiny: Segmenter, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(60, 80))
    pixels = np.random.default_rng(1).integers(0, 256, (50, 70, 3), np.uint8)
    images: list[Any] = [tmp_path / "a.png", str(tmp_path / "a.png"), pixels]
    with Client(serve(lambda: tiny).url) as client:
        assert client.ready()
        assert repr(client).endswith("tiny, 3 classes)")
        assert same(client.predict(pixels), tiny.predict(pixels))
        assert same(client.predict(images[0], score_threshold=0.2), tiny.predict(images[0], score_threshold=0.2))
        several = client.predict(images, score_threshold=[0.2, 0.7, 0.95], nms_threshold=0.3)
        expected = [tiny.predict(each, score_threshold=s) for each, s in zip(images, (0.2, 0.7, 0.95), strict=True)]
        assert all(map(same, several, expected))
        assert client.predict([]) == []
        found = client.predict(pixels, score_threshold=0.2)
        np.testing.assert_array_equal(found.masks(), tiny.predict(pixels, score_threshold=0.2).masks())
        found.boxes[:] = 0  # they are the caller's own


def test_keypoints_and_no_masks(serve: Serve, write_model: Callable[..., Path]) -> None:
    segmenter = Segmenter(write_model(masks=False, keypoints=True))
    pixels = np.zeros((50, 70, 3), np.uint8)
    assert same(Client(serve(lambda: segmenter).url).predict(pixels), segmenter.predict(pixels))


def test_several_threads_share_a_client(serve: Serve, tiny: Segmenter) -> None:
    client = Client(serve(lambda: tiny).url, requests_at_once=4)
    images = [np.full((40 + i, 60, 3), i, np.uint8) for i in range(24)]
    found = client.predict(images)
    assert [each.image_size for each in found] == [image.shape[:2] for image in images]


def test_a_server_that_is_busy_is_asked_again(serve: Serve, held: Held) -> None:
    server = serve(lambda: held, queue=1)
    client = Client(server.url)
    other = threading.Thread(target=server.predict, args=(png(),))
    other.start()
    assert held.begun.acquire(timeout=60)
    with pytest.raises(ServerError, match=r"answered 503: The server is busy: 1 picture is waiting"):
        Client(server.url, timeout=2).predict(np.zeros((8, 8, 3), np.uint8))
    threading.Timer(0.2, held.gate.set).start()
    assert len(client.predict(np.zeros((8, 8, 3), np.uint8))) == 2
    other.join()


def test_a_connection_that_was_closed_in_the_meantime(serve: Serve, tiny: Segmenter) -> None:
    server = serve(lambda: tiny)
    client = Client(server.url)
    for connection in list(client._idle.queue):
        connection.sock.close()
    assert len(client.predict(np.zeros((8, 8, 3), np.uint8))) == 2


def test_what_does_not_work_is_a_sentence(serve: Serve, tiny: Segmenter, tmp_path: Path) -> None:
    server = serve(lambda: tiny, key="correct-horse", max_pixels=100)
    url = server.url
    with pytest.raises(ServerError, match=r"answered 401: This server asks for a key"):
        Client(url)
    client = Client(url, api_key="correct-horse", model="tiny", class_names=tiny.class_names)
    with pytest.raises(ServerError, match=r"answered 404: There is no model 'other' here; there is 'tiny'"):
        Client(url, api_key="correct-horse", model="other")
    with pytest.raises(ServerError, match=r"finds disk, star, größe, but cat, dog were expected: it is another model"):
        Client(url, api_key="correct-horse", class_names=("__background__", "cat", "dog"))
    with pytest.raises(ServerError, match=r"answered 413: The picture has 20x10 pixels; at most 100 are taken"):
        client.predict(np.zeros((10, 20, 3), np.uint8))
    with pytest.raises(ImageError, match=r"none\.jpg: there is no such file"):
        client.predict(tmp_path / "none.jpg")
    (tmp_path / "text.jpg").write_text("hello")
    with pytest.raises(ServerError, match=r"answered 400: The picture is not an image"):
        client.predict(tmp_path / "text.jpg")
    with pytest.raises(ArgumentError, match=r"Expected an RGB image"):
        client.predict(np.zeros((10, 20), np.uint8))
    with pytest.raises(ArgumentError, match=r"score_threshold should be between 0 and 1"):
        client.predict(np.zeros((8, 8, 3), np.uint8), score_threshold=2)
    with pytest.raises(ArgumentError, match=r"one per image, but there are 2 for 1"):
        client.predict(np.zeros((8, 8, 3), np.uint8), nms_threshold=[0.1, 0.2])
    server.server.stop()
    assert server.ended.wait(60)
    assert not client.ready()
    with pytest.raises(ServerError, match=r"cannot be reached: .* Is it running\?"):
        client.predict(np.zeros((8, 8, 3), np.uint8))


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://host", "http://", "http://host:none", "model.onnx"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ArgumentError, match="Expected the address of a server"):
        Client(url)


@pytest.fixture
def odd() -> Iterator[Callable[[dict[str, bytes]], str]]:
    """`odd({"/path": b"answer"})` -> the address of a server that says just that."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(answers: dict[str, bytes]) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                body = answers.get(self.path)
                self.send_response(404 if body is None else 200)
                self.send_header("content-length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            do_POST = do_GET

            def log_message(self, *arguments: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


CONFIG = json.dumps({"parameters": {"class_names": {"string_value": '["__background__", "cat"]'}}}).encode()


def outputs(**changes: Any) -> bytes:
    """A response in JSON with one cat, changed."""
    tensors = {
        "num_detections": ("INT32", [1, 1], [1]),
        "image_sizes": ("INT32", [1, 2], [8, 8]),
        "boxes": ("FP32", [1, -1, 4], [1, 2, 3, 4]),
        "scores": ("FP32", [1, -1], [0.5]),
        "labels": ("INT32", [1, -1], [1]),
    }
    written = [
        {"name": name, "datatype": datatype, "shape": shape, "data": changes.get(name, data)}
        for name, (datatype, shape, data) in tensors.items()
    ]
    return json.dumps({"outputs": [each for each in written if each["data"] is not None]}).encode()


def test_servers_of_several_models_and_in_json(odd: Callable[[dict[str, bytes]], str]) -> None:
    url = odd(
        {
            "/v2/repository/index": b'[{"name": "a"}, {"name": "b"}]',
            "/v2/models/b/config": CONFIG,
            "/v2/models/b/infer": outputs(),
            "/v2/models/c/config": b"{}",
        }
    )
    with pytest.raises(ServerError, match=r"has 2 models \(a, b\): name one"):
        Client(url)
    found = Client(url, model="b").predict(np.zeros((8, 8, 3), np.uint8))
    assert (found.names, found.boxes.tolist(), found.has_masks) == (["cat"], [[1, 2, 3, 4]], False)
    with pytest.raises(ServerError, match=r"does not say the class names of c: give class_names"):
        Client(url, model="c")
    assert Client(url, model="c", class_names=["background", "dog"]).class_names == ("background", "dog")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (outputs(labels=[2]), "answered with label 2, but b had 1 classes when this client was made"),
        (outputs(boxes=None), r"tensors are none of maskrt's \(KeyError"),
        (outputs(num_detections=[5]), r"tensors are none of maskrt's"),
        (b'{"outputs": 5}', r"tensors are none of maskrt's"),
        (b"hello", r"tensors are none of maskrt's"),
    ],
)
def test_answers_that_are_none(odd: Callable[[dict[str, bytes]], str], answer: bytes, sentence: str) -> None:
    client = Client(odd({"/v2/models/b/config": CONFIG, "/v2/models/b/infer": answer}), model="b")
    with pytest.raises(ServerError, match=sentence):
        client.predict(np.zeros((8, 8, 3), np.uint8))


def test_it_is_no_server_of_maskrt(odd: Callable[[dict[str, bytes]], str]) -> None:
    with pytest.raises(ServerError, match="answered 404"):
        Client(odd({}))
    with pytest.raises(ServerError, match="did not answer as a server of maskrt: it is not JSON"):
        Client(odd({"/v2/repository/index": b"<html>"}))
    with pytest.raises(ServerError, match="did not answer as a server of maskrt: its index of models is none"):
        Client(odd({"/v2/repository/index": b"[1]"}))
