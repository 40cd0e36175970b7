from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskrt.runtime import DrawOptions, Segmenter

from ...support.bombs import jpeg_of_scans, png_bomb
from ...support.served import Serve, png, records

BOUNDARY = "x1y2"


def form(*parts: tuple[str, bytes], boundary: str = BOUNDARY) -> tuple[bytes, dict[str, str]]:
    """A multipart body, and its headers."""
    body = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="/etc/passwd"\r\n'
        "Content-Type: image/png\r\n\r\n".encode()
        + data
        + b"\r\n"
        for name, data in parts
    )
    return body + f"--{boundary}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={boundary}"}


@pytest.mark.parametrize("thresholds", [{}, {"score_threshold": 0.2}, {"score_threshold": 0.7, "nms_threshold": 0.1}])
def test_equals_predict(serve: Serve, tiny: Segmenter, tmp_path: Path, thresholds: dict[str, float]) -> None:
    picture = png(60, 80)
    (tmp_path / "a.png").write_bytes(picture)
    expected = tiny.predict(tmp_path / "a.png", **thresholds)
    answer = serve(lambda: tiny).predict(picture, **thresholds)
    assert answer.status == 200, answer
    content = answer.json
    assert content["instances"] == records(expected)
    assert content["image_size"] == [60, 80]
    assert content["model"] == "tiny"
    assert list(content["seconds"]) == ["decode", "preprocess", "queue", "infer", "postprocess"]
    assert answer.headers["content-type"] == "application/json"


def test_keypoints_and_no_masks(serve: Serve, write_model: Callable[..., Path]) -> None:
    segmenter = Segmenter(write_model(masks=False, keypoints=True))
    pixels = cv2.imdecode(np.frombuffer(png(), np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    found = serve(lambda: segmenter).predict(png()).json["instances"]
    assert found == records(segmenter.predict(np.ascontiguousarray(pixels)))
    assert "segmentation" not in found[0]
    assert len(found[0]["keypoints"]) == 9


def test_a_form_is_the_same_as_the_body(serve: Serve, tiny: Segmenter) -> None:
    server = serve(lambda: tiny)
    body, headers = form(("image", png()))
    of_form = server.ask("POST", "/predict", body, headers).json["instances"]
    for kind in ("image/png", "application/octet-stream", "application/x-www-form-urlencoded"):
        assert server.ask("POST", "/predict", png(), {"Content-Type": kind}).json["instances"] == of_form


def test_overlay(serve: Serve, tiny: Segmenter) -> None:
    answer = serve(lambda: tiny).predict(png(90, 120), format="overlay", score_threshold=0.2)
    assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")
    drawn = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    pixels = np.ascontiguousarray(cv2.imdecode(np.frombuffer(png(90, 120), np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1])
    expected = tiny.predict(pixels, score_threshold=0.2).draw(pixels, DrawOptions())
    assert np.abs(drawn.astype(int) - expected).mean() < 8  # JPEG, of noise


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "no-threshold": ({"path": "?score_threshold=2"}, 400, "score_threshold should be a number from 0 to 1, but is '2'"),
    "nan": ({"path": "?nms_threshold=nan"}, 400, "nms_threshold should be a number from 0 to 1"),
    "unknown-option": ({"path": "?threshold=0.5"}, 400, "There is no option 'threshold'; there are score_threshold"),
    "unknown-format": ({"path": "?format=pickle"}, 400, "format should be json or overlay, but is 'pickle'"),
    "empty": ({"body": b""}, 400, "empty"),
    "text": ({"body": b"hello"}, 400, "is not an image that can be read here"),
    "cut-off": ({"body": png()[:500]}, 400, "cut off"),
    "path": ({"body": b"/etc/passwd"}, 400, "is not an image"),
    "json": ({"headers": {"Content-Type": "application/json"}}, 415, "Expected a picture as the body"),
    "gzip": ({"headers": {"Content-Encoding": "gzip"}}, 415, "compressed"),
    "large": ({"body": b"x" * 100_001}, 413, "more than the 100,000 bytes"),
    "bomb": ({"body": png_bomb()}, 413, "60000x60000 pixels; at most 1,000,000 are decoded"),
    "scans": ({"body": jpeg_of_scans(101)}, 413, "The picture is a JPEG of 101 scans; at most 100 are decoded"),
}


def test_refused_with_a_sentence(serve: Serve, tiny: Segmenter) -> None:
    server = serve(lambda: tiny, max_bytes=100_000, max_pixels=1_000_000)
    for name, (request, status, sentence) in REFUSED.items():
        path, body = f"/predict{request.get('path', '')}", request.get("body", png())
        answer = server.ask("POST", path, body, request.get("headers"))
        assert answer.status == status, name
        assert sentence in answer.error, name
    assert server.predict(png()).status == 200


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ([], "but got none"),
        ([("file", b"x")], "Expected one field, image, in the form, but got 'file'"),
        ([("image", b"x"), ("image", b"y")], "but got 'image', 'image'"),
        ([("image", b"x"), ("score_threshold", b"0.5")], "Options go into the URL"),
        ([("image", b"")], "empty"),
    ],
)
def test_forms_that_are_refused(serve: Serve, tiny: Segmenter, parts: list[tuple[str, bytes]], sentence: str) -> None:
    answer = serve(lambda: tiny).ask("POST", "/predict", *form(*parts))
    assert answer.status == 400
    assert sentence in answer.error


def test_forms_that_are_damaged(serve: Serve, tiny: Segmenter) -> None:
    server = serve(lambda: tiny)
    body, headers = form(("image", png()))
    kind = headers["Content-Type"]
    for damaged, content_type in (
        (body[:-10], kind),
        (body[20:], kind),
        (body, "multipart/form-data"),
        (body, "multipart/form-data; boundary=other"),
        (body, f"multipart/form-data; boundary={'b' * 1000}"),
        (b"", kind),
    ):
        answer = server.ask("POST", "/predict", damaged, {"Content-Type": content_type})
        assert answer.status == 400, (damaged[:30], content_type)
        assert "multipart form is damaged" in answer.error or "but got none" in answer.error
