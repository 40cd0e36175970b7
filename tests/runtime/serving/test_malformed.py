"""Requests that nobody means well: the server answers each with a sentence, and lives.

200 in a run; 5,000 with `MASKRT_LONG_TESTS=1`.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import random
import socket
from collections.abc import Callable
from typing import Any

import pytest

from maskrt.runtime import Segmenter

from ...support.served import Running, Serve, png

COUNT = 5000 if os.environ.get("MASKRT_LONG_TESTS") else 200
SEED = 15
PICTURE = png(16, 24)
BOUNDARY = b"frontier"

Make = Callable[[random.Random], bytes]


def head(method: str, path: str, body: bytes, **headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
    if not any(name.lower() in ("content_length", "transfer_encoding") for name in headers):
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Cut, with bytes changed, doubled, taken out or put in."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 2, 8, 40))):
        at = rng.randrange(len(changed) + 1) if changed else 0
        kind = rng.randrange(5)
        if kind == 0:
            del changed[at:]
        elif kind == 1 and at < len(changed):
            changed[at] = rng.randrange(256)
        elif kind == 2:
            del changed[at : at + rng.randrange(1, 30)]
        elif kind == 3:
            changed[at:at] = rng.randbytes(rng.randrange(1, 30))
        else:
            changed[at:at] = changed[at : at + rng.randrange(1, 200)]
    return bytes(changed)


def picture(rng: random.Random) -> bytes:
    return head("POST", "/predict", damaged(PICTURE, rng))


def form(rng: random.Random) -> bytes:
    body = (
        b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="image"; filename="../../etc/passwd"\r\n\r\n'
    ) + PICTURE
    kind = f"multipart/form-data; boundary={BOUNDARY.decode()}"
    return head("POST", "/predict", damaged(body + b"\r\n--" + BOUNDARY + b"--\r\n", rng), Content_Type=kind)


ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 1e308, 10**40, float("nan"), "", "x" * 1000, "\x00", [], {}, [[[[]]]], [None], {"a": {}},
    "../../etc/passwd", "file:///etc/passwd", "http://169.254.169.254/",
    "gASVIAAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjAV0b3VjaJSFlFKULg==",  # a pickle that would run a command
)  # fmt: skip


def tensors(rng: random.Random) -> bytes:
    """A request of the KServe protocol in which values are others, or are missing."""
    content: Any = {
        "id": "1",
        "inputs": [
            {"name": "pixels", "datatype": "UINT8", "shape": [1, 2, 2, 3], "data": list(range(12))},
            {"name": "score_threshold", "datatype": "FP64", "shape": [1, 1], "data": [0.5]},
        ],
        "outputs": [{"name": "boxes", "parameters": {"binary_data": True}}],
        "parameters": {"binary_data_output": False},
    }
    for _ in range(rng.choice((1, 1, 2, 4))):
        place, parent = content, None
        key: Any = None
        while isinstance(place, (dict, list)) and place and (parent is None or rng.random() < 0.75):
            parent, key = place, rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
            place = place[key]
        if parent is None:
            break
        if rng.random() < 0.2:
            del parent[key]
        else:
            parent[key] = copy.deepcopy(rng.choice(ODD))  # or one could come to hold itself
    body = json.dumps(content).encode()
    headers = {}
    if rng.random() < 0.3:
        headers["Inference_Header_Content_Length"] = str(rng.choice((0, 1, len(body) - 1, len(body), 10**9, -5, "x")))
    if rng.random() < 0.2:
        body = damaged(body, rng)
    return head("POST", "/v2/models/tiny/infer", body, **headers)


def options(rng: random.Random) -> bytes:
    names = ("score_threshold", "nms_threshold", "format", "path", "__class__", "")
    query = "&".join(
        f"{rng.choice(names)}={rng.choice(('0.5', '2', 'nan', '%00', '%ff', '../..', ''))}" for _ in range(3)
    )
    return head("POST", f"/predict?{query}", PICTURE)


def address(rng: random.Random) -> bytes:
    paths = (
        "/",
        "/page/page.js",
        "/../../etc/passwd",
        "/page/../../server.py",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//",
        "/predict/",
    )
    paths += (
        "/v2/models/..%2f..%2fetc/infer",
        "/v2/models/tiny/versions/9/infer",
        "/v2/models/tiny/infer/",
        "/%00",
        "*",
    )
    return head(
        rng.choice(("GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "HEAD")), rng.choice(paths), b"{}"
    )


def types(rng: random.Random) -> bytes:
    kinds = (
        "text/html",
        "application/x-pickle",
        "multipart/form-data",
        "multipart/mixed; boundary=a",
        "image/*",
        "\x7f",
        ";;;",
    )
    kinds += ("multipart/form-data; boundary=" + "b" * 300, "application/json; charset=utf-7", "x" * 5000)
    extra: dict[str, str] = {"Content_Type": rng.choice(kinds)}
    if rng.random() < 0.3:
        extra["Content_Encoding"] = rng.choice(("gzip", "br", "deflate", "identity, gzip"))
    return head("POST", rng.choice(("/predict", "/v2/models/tiny/infer")), PICTURE, **extra)


def protocol(rng: random.Random) -> bytes:
    """No HTTP, or half of it: the sender closes its half of the connection then."""
    whole = head("POST", "/predict", PICTURE)
    kind = rng.randrange(6)
    if kind == 0:
        return whole[: rng.randrange(1, len(whole))]
    if kind == 1:
        return damaged(whole[:120], rng) + whole[120:]
    if kind == 2:
        return head("POST", "/predict", b"5\r\nhello\r\nzz\r\n", Transfer_Encoding="chunked")
    if kind == 3:
        return head("POST", "/predict", PICTURE, Content_Length=rng.choice(("-1", "1e9", "99999999999", "5, 6", "")))
    if kind == 4:
        return b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * rng.choice((10, 70_000, 200_000)) + b"\r\n\r\n"
    return rng.randbytes(rng.randrange(1, 300)) + b"\r\n\r\n"


MAKERS: tuple[Make, ...] = (picture, form, tensors, tensors, options, address, types, protocol)


def exchange(server: Running, request: bytes, *, is_all: bool) -> bytes:
    """Send bytes, and say that this is all by closing that half of the connection; return what comes back."""
    received = b""
    with socket.create_connection(server.address, timeout=60) as connection:
        with contextlib.suppress(OSError):  # the server may have read enough, and closed
            connection.sendall(request)
            if is_all:
                connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while data := connection.recv(65536):
                received += data
    return received


def test_each_is_answered_and_the_server_lives(
    serve: Serve, tiny: Segmenter, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(lambda: tiny, max_bytes=1_000_000, max_pixels=1_000_000)
    statuses: dict[int, int] = {}
    for number in range(COUNT):
        rng = random.Random(1000 * SEED + number)
        maker = MAKERS[number % len(MAKERS)]
        request = maker(rng)
        answer = exchange(server, request, is_all=maker is protocol)
        note = f"request {number}, {maker.__name__}: {request[:300]!r} -> {answer[:300]!r}"
        if not answer:
            assert maker is protocol, note  # half a request may end without a word
            continue
        line, _, _ = answer.partition(b"\r\n")
        status = int(line.split()[1])
        statuses[status] = statuses.get(status, 0) + 1
        assert status < 500, note
        assert b"Traceback" not in answer, note
        _, _, body = answer.partition(b"\r\n\r\n")
        if status >= 400 and b"application/json" in answer:
            sentence = json.loads(body)["error"] if body else ""  # HEAD has no body
            assert not body or (len(sentence) > 10 and "object at" not in sentence), note
        if number % 50 == 0:
            assert server.predict(PICTURE).status == 200, note
    assert server.predict(PICTURE).status == 200
    assert server.metric("maskrt_images_in_flight") == 0
    assert sum(count for status, count in statuses.items() if 400 <= status < 500) > COUNT / 2, statuses
    assert "Traceback" not in capsys.readouterr().err + caplog.text
