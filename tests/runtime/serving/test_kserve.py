from __future__ import annotations

import base64
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskrt.contract.serving import from_binary, pack_bytes
from maskrt.runtime import Segmenter
from maskrt.runtime.serving.kserve import read_request
from maskrt.runtime.serving.refusals import Refusal
from maskrt.runtime.structures.instances import Instances

from ...support.served import Answer, Serve, png


def pixels_of(picture: bytes) -> np.ndarray:
    return np.ascontiguousarray(cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1])


def tensor(name: str, datatype: str, shape: list[int], data: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def image(*pictures: bytes) -> dict[str, Any]:
    return tensor("image", "BYTES", [len(pictures), 1], [base64.b64encode(picture).decode() for picture in pictures])


def outputs_of(answer: Answer) -> dict[str, Any]:
    """The tensors of an answer, in JSON or binary, as arrays and lists."""
    assert answer.status == 200, answer
    length = int(answer.headers.get("inference-header-content-length", len(answer.body)))
    content, at, values = json.loads(answer.body[:length]), length, {}
    for each in content["outputs"]:
        if "data" in each:
            values[each["name"]] = (
                each["data"] if each["datatype"] == "BYTES" else np.reshape(each["data"], each["shape"])
            )
        else:
            size = each["parameters"]["binary_data_size"]
            value = from_binary(answer.body[at : at + size], each["datatype"], each["shape"])
            values[each["name"]] = [e.decode() for e in value] if isinstance(value, list) else value
            at += size
    assert at == len(answer.body)
    return values


def check(values: dict[str, Any], expected: list[Instances]) -> None:
    most = max(map(len, expected))
    assert values["num_detections"].tolist() == [[len(each)] for each in expected]
    assert values["image_sizes"].tolist() == [list(each.image_size) for each in expected]
    for i, each in enumerate(expected):
        for name in ("boxes", "scores", "labels"):
            assert np.array_equal(
                np.asarray(values[name][i][: len(each)], getattr(each, name).dtype), getattr(each, name)
            )
            assert not np.any(values[name][i][len(each) :])
        masks = values["masks"][i * most : (i + 1) * most]
        assert masks == [*(rle["counts"] for rle in each.rle()), *[""] * (most - len(each))]


@pytest.mark.parametrize("binary", [False, True])
def test_image_files_equal_predict(serve: Serve, tiny: Segmenter, binary: bool) -> None:
    pictures = [png(60, 80), png(40, 90, seed=1)]
    content: dict[str, Any] = {
        "id": "seven",
        "inputs": [image(*pictures), tensor("score_threshold", "FP64", [2, 1], [0.2, 0.7])],
    }
    data = b""
    if binary:
        data = pack_bytes(pictures)
        content["inputs"][0] = {
            "name": "image",
            "datatype": "BYTES",
            "shape": [2],
            "parameters": {"binary_data_size": len(data)},
        }
        content["parameters"] = {"binary_data_output": True}
    answer = serve(lambda: tiny).infer(content, data)
    check(
        outputs_of(answer),
        [tiny.predict(pixels_of(p), score_threshold=t) for p, t in zip(pictures, (0.2, 0.7), strict=True)],
    )
    assert b'"id": "seven"' in answer.body


@pytest.mark.parametrize("binary", [False, True])
def test_pixels_equal_predict(serve: Serve, tiny: Segmenter, binary: bool) -> None:
    pixels = np.stack([pixels_of(png(20, 30, seed)) for seed in (0, 1)])
    given = tensor("pixels", "UINT8", [2, 20, 30, 3], pixels.tolist())
    data = b""
    if binary:
        data = pixels.tobytes()
        del given["data"]
        given["parameters"] = {"binary_data_size": len(data)}
    check(outputs_of(serve(lambda: tiny).infer({"inputs": [given]}, data)), [tiny.predict(each) for each in pixels])


def test_thresholds_are_those_that_were_meant(serve: Serve, tiny: Segmenter) -> None:
    """Of 64 bits: the score of the second object, 0.6 in 32 bits, is above 0.6 in 64."""
    server = serve(lambda: tiny)
    for threshold in (0.6, float(np.float32(0.6)), 0.3, 0.9):
        values = outputs_of(
            server.infer({"inputs": [image(png()), tensor("score_threshold", "FP64", [1, 1], [threshold])]})
        )
        check(values, [tiny.predict(pixels_of(png()), score_threshold=threshold)])


def test_chosen_outputs(serve: Serve, tiny: Segmenter) -> None:
    outputs = [{"name": "scores", "parameters": {"binary_data": True}}, {"name": "num_detections"}]
    values = outputs_of(serve(lambda: tiny).infer({"inputs": [image(png())], "outputs": outputs}))
    assert set(values) == {"scores", "num_detections"}


def test_keypoints_and_no_masks(serve: Serve, write_model: Callable[..., Path]) -> None:
    segmenter = Segmenter(write_model(masks=False, keypoints=True))
    server = serve(lambda: segmenter)
    values = outputs_of(server.infer({"inputs": [image(png())]}))
    expected = segmenter.predict(pixels_of(png()))
    assert expected.keypoints is not None
    assert np.array_equal(values["keypoints"][0].astype(np.float32), expected.keypoints)
    assert "masks" not in values
    assert server.get("/v2/models/tiny").json["outputs"][-1] == {
        "name": "keypoints",
        "datatype": "FP32",
        "shape": [-1, -1, 3, 3],
    }


def test_nothing_found(serve: Serve, tiny: Segmenter) -> None:
    server = serve(lambda: tiny)
    for binary in (False, True):
        content = {
            "inputs": [image(png()), tensor("score_threshold", "FP64", [1], [1.0])],
            "parameters": {"binary_data_output": binary},
        }
        values = outputs_of(server.infer(content))
        assert values["num_detections"].tolist() == [[0]]
        assert values["boxes"].shape == (1, 0, 4)
        assert values["masks"] == []


def test_what_is_said_of_the_model(serve: Serve, tiny: Segmenter) -> None:
    server = serve(lambda: tiny)
    assert server.get("/v2").json["name"] == "maskrt"
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/tiny/ready", "/v2/models/tiny/versions/1/ready"):
        assert server.get(path).status == 200
    described = server.get("/v2/models/tiny/versions/1").json
    assert (described["name"], described["versions"]) == ("tiny", ["1"])
    assert described["inputs"][0] == {"name": "image", "datatype": "BYTES", "shape": [-1, 1]}
    config = server.get("/v2/models/tiny/config").json
    assert json.loads(config["parameters"]["class_names"]["string_value"]) == list(tiny.class_names)
    assert config["input"][0] == {"name": "image", "data_type": "TYPE_STRING", "dims": [1]}
    index = server.ask("POST", "/v2/repository/index").json
    assert index == [{"name": "tiny", "version": "1", "state": "READY"}]
    for path in ("/v2/models/other", "/v2/models/tiny/versions/2", "/v2/models/tiny/versions/1/stats", "/v3"):
        assert server.get(path).status == 404
        assert "There is no" in server.get(path).error
    assert server.get("/v2/models/tiny/infer").status == 405


GOOD = image(png(8, 8))
ONE = [1, 1]
REFUSED: dict[str, tuple[Any, str]] = {
    "no-object": ([], "should be a JSON object"),
    "no-inputs": ({}, "inputs should be a list of tensors"),
    "id": ({"id": 7, "inputs": [GOOD]}, "id should be text"),
    "unknown-input": (
        {"inputs": [{**GOOD, "name": "picture"}]},
        "There is no input 'picture'; there are image",
    ),
    "list-as-name": ({"inputs": [{**GOOD, "name": ["image"]}]}, "There is no input"),
    "twice": ({"inputs": [GOOD, GOOD]}, "The input image is given twice"),
    "both": ({"inputs": [GOOD, tensor("pixels", "UINT8", [1, 1, 1, 3], [1, 2, 3])]}, "Expected one of the inputs"),
    "none": ({"inputs": [tensor("score_threshold", "FP64", ONE, [0.5])]}, "Expected one of the inputs"),
    "type": ({"inputs": [{**GOOD, "datatype": "UINT8"}]}, "its datatype should be BYTES, but is 'UINT8'"),
    "shape": ({"inputs": [{**GOOD, "shape": [1, 2]}]}, r"its shape should be [-1, 1] (-1: any), but is [1, 2]"),
    "negative": ({"inputs": [{**GOOD, "shape": [-1, 1]}]}, "its shape should be a list of whole numbers"),
    "count": ({"inputs": [{**GOOD, "shape": [2, 1]}]}, "has 2 elements, but 1 are there"),
    "no-data": ({"inputs": [{**GOOD, "data": None}]}, "its data should be a list"),
    "base64": ({"inputs": [{**GOOD, "data": ["ä!"]}]}, "in JSON, BYTES are base64 text"),
    "number": ({"inputs": [{**GOOD, "data": [7]}]}, "in JSON, BYTES are base64 text"),
    "no-picture": ({"inputs": [tensor("image", "BYTES", [0, 1], [])]}, "The request has no picture"),
    "empty": ({"inputs": [tensor("image", "BYTES", ONE, [""])]}, "The picture is empty (0 bytes)"),
    "no-pixels": ({"inputs": [tensor("pixels", "UINT8", [1, 0, 5, 3], [])]}, "got an image without pixels"),
    "grey": ({"inputs": [tensor("pixels", "UINT8", [1, 1, 1, 1], [0])]}, "its shape should be [-1, -1, -1, 3]"),
    "levels": ({"inputs": [tensor("pixels", "UINT8", [1, 1, 1, 3], [0, 1, 256])]}, "its data should be from 0 to 255"),
    "floats": ({"inputs": [tensor("pixels", "UINT8", [1, 1, 1, 3], [0, 1, 0.5])]}, "should be numbers of UINT8"),
    "ragged": ({"inputs": [tensor("pixels", "UINT8", [1, 1, 1, 3], [[0], [1, 2]])]}, "should be"),
    "texts": (
        {"inputs": [tensor("pixels", "UINT8", [1, 1, 1, 3], ["x" * 1000, "1", "2"])]},
        "should be numbers of UINT8",
    ),
    "deep": (
        {"inputs": [tensor("pixels", "UINT8", [1, 1, 1, 3], [[[[[1, 2, 3]]]]])]},
        "has 3 elements, but 1 are there",
    ),
    "mixed": ({"inputs": [tensor("pixels", "UINT8", [1, 1, 1, 3], [0, [1], 2])]}, "in rows of one length"),
    "huge": ({"inputs": [tensor("pixels", "UINT8", [1, 1, 1, 3], [0, 1, 10**30])]}, "should be"),
    "threshold": (
        {"inputs": [GOOD, tensor("nms_threshold", "FP64", ONE, [1.5])]},
        "nms_threshold should be a number from 0 to 1, but is '1.5'",
    ),
    "nan": ({"inputs": [GOOD, tensor("nms_threshold", "FP64", ONE, [float("nan")])]}, "should be a number from 0 to 1"),
    "truth": ({"inputs": [GOOD, tensor("nms_threshold", "FP64", ONE, [True])]}, "its data should be numbers"),
    "thresholds": ({"inputs": [GOOD, tensor("nms_threshold", "FP64", [2, 1], [0, 1])]}, "has 2 values for 1 pictures"),
    "output": ({"inputs": [GOOD], "outputs": [{"name": "logits"}]}, "There is no output 'logits'"),
    "outputs": ({"inputs": [GOOD], "outputs": 5}, "outputs should be a list of tensors"),
    "flag": ({"inputs": [GOOD], "parameters": {"binary_data_output": 1}}, "should be true or false"),
    "size": (
        {"inputs": [{"name": "image", "datatype": "BYTES", "shape": ONE, "parameters": {"binary_data_size": 9}}]},
        "9 bytes should follow the JSON, but 0 are left",
    ),
    "no-size": (
        {"inputs": [{"name": "image", "datatype": "BYTES", "shape": ONE, "parameters": {"binary_data_size": -1}}]},
        "binary_data_size should be a number of bytes",
    ),
    "twofold": ({"inputs": [{**GOOD, "parameters": {"binary_data_size": 0}}]}, "both data and a binary_data_size"),
}


def test_refused_with_a_sentence(serve: Serve, tiny: Segmenter) -> None:
    server = serve(lambda: tiny)
    for name, (content, sentence) in REFUSED.items():
        answer = server.infer(content)
        assert answer.status == 400, name
        assert sentence in answer.error, name


def test_bodies_that_are_damaged(serve: Serve, tiny: Segmenter) -> None:
    server = serve(lambda: tiny, max_pixels=100)
    path, good = "/v2/models/tiny/infer", json.dumps({"inputs": [GOOD]}).encode()
    for body, header, status, sentence in (
        (b"", None, 400, "not JSON"),
        (b"[" * 100_000, None, 400, "not JSON"),
        (b"\xff\xfe", None, 400, "not JSON"),
        (b'{"id": "\\ud800"}', None, 400, "not JSON"),
        (b"{}", "3", 400, "the body has 2 bytes"),
        (b"{}", "-1", 400, "the body has 2 bytes"),
        (b"{}", "9" * 5000, 400, "the body has 2 bytes"),
        (b"{}", "1.0", 400, "the body has 2 bytes"),
        (good + b"xx", str(len(good)), 400, "2 bytes follow"),
        (json.dumps({"inputs": [image(png(11, 11))]}).encode(), None, 413, "at most 100 are decoded"),
        (json.dumps({"inputs": [image(*[png(1, 1)] * 33)]}).encode(), None, 413, "has 33 pictures; at most 32"),
    ):
        answer = server.ask("POST", path, body, {} if header is None else {"Inference-Header-Content-Length": header})
        assert answer.status == status, body[:50]
        assert sentence in answer.error


def test_one_bad_picture_of_several_is_an_error_of_the_request(serve: Serve, tiny: Segmenter) -> None:
    server = serve(lambda: tiny)
    answer = server.infer({"inputs": [image(png(), b"no picture", png())]})
    assert answer.status == 400
    assert "is not an image" in answer.error
    assert server.metric("maskrt_images_in_flight") == 0


def test_texts_in_place_of_numbers_take_no_memory(tiny: Segmenter) -> None:
    """As an array of NumPy these 250 KB would be 12 GB: each text as long as the longest."""
    data = ["x" * 100_000, *["1"] * 29_999]
    content = {"inputs": [tensor("pixels", "UINT8", [1, 10, 1000, 3], data)]}
    tracemalloc.start()
    with pytest.raises(Refusal, match="damaged"):
        read_request(json.dumps(content).encode(), None, tiny.metadata, 32)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
