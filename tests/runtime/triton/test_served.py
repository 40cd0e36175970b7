"""The repository in Triton itself: what its clients get, one by one and many at a time."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskrt.client import Client
from maskrt.contract.tensors import make_feed
from maskrt.engines.package.triton.repository import TritonOptions, make_repository
from maskrt.errors import ServerError
from maskrt.runtime import Segmenter
from maskrt.runtime.structures.instances import Instances

from ...support import triton
from ...support.batches import skip_unless_batches_are_exact
from ...support.bombs import jpeg_of_scans, png_bomb

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(triton.missing() is not None, reason=str(triton.missing())),
]

STAND_IN = """
import numpy as np
import onnxruntime
import triton_python_backend_utils as triton

class TritonPythonModel:
    def initialize(self, args):
        path = f"{args['model_repository']}/{args['model_version']}/model.onnx"
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.names = [output.name for output in self.session.get_outputs()]

    def execute(self, requests):
        feeds = [{tensor.name(): tensor.as_numpy() for tensor in request.inputs()} for request in requests]
        joined = {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}
        outputs = self.session.run(self.names, joined)
        responses, start = [], 0
        for feed in feeds:
            end = start + len(feed["image_sizes"])
            tensors = [triton.Tensor(name, value[start:end]) for name, value in zip(self.names, outputs)]
            responses.append(triton.InferenceResponse(tensors))
            start = end
        return responses
"""
"""Runs the file as Triton's ONNX Runtime backend does, which the wheel does not bring."""


@pytest.fixture(scope="module")
def segmenter(shapes_onnx: Path) -> Segmenter:
    return Segmenter(shapes_onnx)


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """20 scenes, of which some are cut, so that canvases differ."""
    from maskrt.shapes.scenes import generate_scene

    scenes = [generate_scene(number, "test").image for number in range(20)]
    return [np.ascontiguousarray(scene[: len(scene) - 48 * (i % 3 == 1)]) for i, scene in enumerate(scenes)]


@pytest.fixture(scope="module")
def expected(segmenter: Segmenter, pictures: list[np.ndarray]) -> list[Instances]:
    """What `predict` finds in each, with `thresholds_of` it."""
    skip_unless_batches_are_exact(segmenter, pictures)
    return [segmenter.predict(picture, **thresholds_of(i)) for i, picture in enumerate(pictures)]


@pytest.fixture(scope="module")
def alone(shapes_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[triton.Server]:
    """A repository whose Python model runs the file itself."""
    folder = tmp_path_factory.mktemp("alone")
    repository, _ = make_repository(shapes_onnx, folder / "repository", TritonOptions(instances=2, batch_size=4))
    yield from serve(repository, folder)


@pytest.fixture(scope="module")
def behind(shapes_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[triton.Server]:
    """A repository with an engine model, in a stand-in for the backend that is not here."""
    folder = tmp_path_factory.mktemp("behind")
    options = TritonOptions("onnxruntime", batch_size=4)
    repository, _ = make_repository(shapes_onnx, folder / "repository", options)
    engine = repository / "models" / "maskrt_engine"
    config = (engine / "config.pbtxt").read_text()
    changed = config.replace('backend: "onnxruntime"', 'backend: "python"').replace('"model.onnx"', '"model.py"')
    assert changed != config
    (engine / "config.pbtxt").write_text(changed)
    (engine / "1" / "model.py").write_text(STAND_IN)
    yield from serve(repository, folder)


def serve(repository: Path, folder: Path) -> Iterator[triton.Server]:
    (folder / "triton").mkdir()
    server = triton.Server(repository, folder / "triton")
    try:
        server.wait_until_ready()
        yield server
    finally:
        code = server.stop()
    assert code == 0, server.log


@contextmanager
def client_of(server: triton.Server) -> Iterator[Any]:
    """Of one thread, since gevent's sockets take no other; Triton waits for those that are open when it ends."""
    import tritonclient.http

    client = tritonclient.http.InferenceServerClient(server.url, network_timeout=120)
    try:
        yield client
    finally:
        client.close()


def ask(server: triton.Server, model: str = "maskrt", **inputs: np.ndarray) -> Any:
    import tritonclient.http
    import tritonclient.utils

    tensors = []
    for name, value in inputs.items():
        datatype = tritonclient.utils.np_to_triton_dtype(value.dtype)
        tensors.append(tritonclient.http.InferInput(name, list(value.shape), datatype))
        tensors[-1].set_data_from_numpy(value)
    with client_of(server) as client:
        return client.infer(model, tensors)


def thresholds_of(number: int) -> dict[str, float]:
    """Others for each picture."""
    return {"score_threshold": 0.05 + 0.04 * number, "nms_threshold": 0.3 + 0.02 * number}


def column(*values: Any, dtype: Any = np.float64) -> np.ndarray:
    return np.array(values, dtype)[:, None]


def png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture[..., ::-1])[1].tobytes()


def check(answer: Any, row: int, expected: Instances) -> None:
    """Whether a row of an answer is that result, bit for bit."""
    number = len(expected)
    assert answer.as_numpy("num_detections")[row, 0] == number
    assert tuple(answer.as_numpy("image_sizes")[row]) == expected.image_size
    for name in ("boxes", "scores", "labels"):
        value = answer.as_numpy(name)[row]
        assert value[:number].tobytes() == getattr(expected, name).tobytes(), name
        assert not value[number:].any()
    masks = answer.as_numpy("masks")[row]
    assert [counts.decode() for counts in masks[:number]] == [rle["counts"] for rle in expected.rle()]
    assert not any(masks[number:])


@pytest.mark.parametrize("name", ["alone", "behind"])
def test_equal_to_predict_one_by_one(
    name: str, request: pytest.FixtureRequest, pictures: list[np.ndarray], expected: list[Instances]
) -> None:
    server = request.getfixturevalue(name)
    for i, picture in enumerate(pictures):
        given = {"image": column(png(picture), dtype=np.object_)} if i % 2 else {"pixels": picture[None]}
        answer = ask(server, **given, **{name: column(value) for name, value in thresholds_of(i).items()})
        check(answer, 0, expected[i])
    assert sum(map(len, expected)) > 20


@pytest.mark.parametrize("name", ["alone", "behind"])
def test_equal_to_predict_many_at_a_time(
    name: str, request: pytest.FixtureRequest, pictures: list[np.ndarray], expected: list[Instances]
) -> None:
    server = request.getfixturevalue(name)
    before = [server.metric(f"nv_inference_{what}", "maskrt") for what in ("count", "exec_count")]

    def one(i: int) -> Any:
        image = column(png(pictures[i]), dtype=np.object_)
        return ask(server, image=image, **{name: column(value) for name, value in thresholds_of(i).items()})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(len(pictures))))
    for answer, wanted in zip(answers, expected, strict=True):
        check(answer, 0, wanted)
    counts = [server.metric(f"nv_inference_{what}", "maskrt") for what in ("count", "exec_count")]
    asked, runs = (after - first for after, first in zip(counts, before, strict=True))
    assert asked == len(pictures) and runs < asked, "requests were not run together"


def runs_of(server: triton.Server) -> Counter[int]:
    """How many runs of the model had how many pictures, from Triton's statistics."""
    with client_of(server) as client:
        (statistics,) = client.get_inference_statistics("maskrt")["model_stats"]
    return Counter({each["batch_size"]: each["compute_infer"]["count"] for each in statistics["batch_stats"]})


def test_load(
    alone: triton.Server,
    pictures: list[np.ndarray],
    expected: list[Instances],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From one client to eight, each of which asks again when it has an answer; shown as a table."""
    files = [png(picture) for picture in pictures]

    def one(i: int) -> tuple[Any, float]:
        given = {name: column(value) for name, value in thresholds_of(i).items()}
        begun = time.perf_counter()
        return ask(alone, image=column(files[i], dtype=np.object_), **given), time.perf_counter() - begun

    lines = [f"{'clients':>7} {'answers/s':>9} {'median ms':>9} {'p99 ms':>9}  runs"]
    for clients in range(1, 9):
        before, begun = runs_of(alone), time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            answers, seconds = zip(*pool.map(one, range(len(files))), strict=True)
        rate = len(files) / (time.perf_counter() - begun)
        for answer, wanted in zip(answers, expected, strict=True):
            check(answer, 0, wanted)
        runs = runs_of(alone) - before
        assert sum(size * count for size, count in runs.items()) == len(files)
        assert max(runs) <= min(clients, 4)
        median, p99 = 1000 * np.percentile(seconds, (50, 99))
        shown = ", ".join(f"{runs[size]} of {size}" for size in sorted(runs))
        lines.append(f"{clients:>7} {rate:>9.2f} {median:>9.0f} {p99:>9.0f}  {shown}")
    with capsys.disabled():
        print("", *lines, sep="\n")


@pytest.mark.parametrize("name", ["alone", "behind"])
def test_the_client(
    name: str,
    request: pytest.FixtureRequest,
    pictures: list[np.ndarray],
    expected: list[Instances],
    segmenter: Segmenter,
    tmp_path: Path,
) -> None:
    server = request.getfixturevalue(name)
    images: list[Any] = pictures[:8]
    for i in range(0, len(images), 2):
        images[i] = write(tmp_path / f"{i}.png", png(pictures[i]))
    thresholds = [thresholds_of(i) for i in range(len(images))]
    with Client(f"http://{server.url}", model="maskrt", timeout=300) as client:
        assert client.class_names == segmenter.class_names
        found = client.predict(images, **{key: [one[key] for one in thresholds] for key in thresholds[0]})
        with pytest.raises(ServerError, match="answered 400: The picture is not an image"):
            client.predict(write(tmp_path / "no.png", b"no picture"))
    for result, wanted in zip(found, expected[:8], strict=True):
        for field in ("boxes", "scores", "labels"):
            assert getattr(result, field).tobytes() == getattr(wanted, field).tobytes()
        assert result.rle() == wanted.rle() and result.image_size == wanted.image_size


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_several_pictures_in_a_request(alone: triton.Server, segmenter: Segmenter, pictures: list[np.ndarray]) -> None:
    images = column(*map(png, pictures[:4]), dtype=np.object_)
    score, nms = column(0.1, 0.9, 0.5, 0.3), column(0.3, 0.4, 0.5, 0.6)
    answer = ask(alone, image=images, score_threshold=score, nms_threshold=nms)
    for i, picture in enumerate(pictures[:4]):
        expected = segmenter.predict(picture, score_threshold=score[i, 0], nms_threshold=nms[i, 0])
        check(answer, i, expected)
    check(ask(alone, image=images), 2, segmenter.predict(pictures[2]))
    nothing = ask(alone, image=images[:1], score_threshold=column(1.0))
    check(nothing, 0, segmenter.predict(pictures[0], score_threshold=1.0))
    assert nothing.as_numpy("boxes").shape == (1, 0, 4)


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({"image": [b"no picture"]}, "The picture is not an image"),
        ({"image": [b""]}, "The picture is"),
        ({"image": [png_bomb()]}, "60000x60000 pixels; at most 50,000,000"),
        ({"image": [jpeg_of_scans(101)]}, "The picture is a JPEG of 101 scans; at most 100 are decoded"),
        ({"image": [b"x" * 20_000_001]}, "The picture has 20,000,001 bytes; at most 20,000,000 are taken"),
        ({}, "Expected one of the inputs image and pixels, but got none."),
        ({"image": [b"x"], "score_threshold": [2.0]}, "score_threshold should be a number from 0 to 1, but is '2.0'"),
        ({"image": [b"x"], "nms_threshold": [np.nan]}, "nms_threshold should be a number from 0 to 1, but is 'nan'"),
        ({"pixels": np.zeros((1, 8, 0, 3), np.uint8)}, "an image without pixels"),
    ],
    ids=["not an image", "empty", "bomb", "scans", "bytes", "no picture", "threshold", "nan", "no pixels"],
)
def test_requests_at_fault(alone: triton.Server, inputs: dict[str, Any], sentence: str, segmenter: Segmenter) -> None:
    import tritonclient.utils

    types = {"image": np.object_, "pixels": np.uint8}
    tensors = {
        name: value if isinstance(value, np.ndarray) else column(*value, dtype=types.get(name, np.float64))
        for name, value in inputs.items()
    } or {"score_threshold": column(0.5)}
    with pytest.raises(tritonclient.utils.InferenceServerException, match=re.escape(sentence)) as refused:
        ask(alone, **tensors)
    assert refused.value.status() == "400" and "Traceback" not in str(refused.value)
    blank = np.zeros((64, 64, 3), np.uint8)
    check(ask(alone, pixels=blank[None]), 0, segmenter.predict(blank))


def test_a_request_at_fault_harms_no_other(
    alone: triton.Server, segmenter: Segmenter, pictures: list[np.ndarray]
) -> None:
    import tritonclient.utils

    def one(i: int) -> Any:
        image = b"no picture" if i % 3 == 0 else png(pictures[0])
        try:
            return ask(alone, image=column(image, dtype=np.object_))
        except tritonclient.utils.InferenceServerException as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(12)))
    expected = segmenter.predict(pictures[0])
    for i, answer in enumerate(answers):
        if i % 3 == 0:
            assert "not an image" in str(answer)
        else:
            check(answer, 0, expected)
    two = column(png(pictures[0]), b"no picture", dtype=np.object_)
    with pytest.raises(tritonclient.utils.InferenceServerException, match="Picture 2 of 2: The picture is not"):
        ask(alone, image=two)


def test_wrong_types_and_shapes_are_refused(alone: triton.Server) -> None:
    from tritonclient.utils import InferenceServerException

    for wrong, word in (
        (np.zeros((1, 8, 8, 3), np.float32), "UINT8"),
        (np.zeros((1, 8, 8, 4), np.uint8), "shape"),
        (np.zeros((5, 8, 8, 3), np.uint8), "batch"),
    ):
        with pytest.raises(InferenceServerException, match=word) as refused:
            ask(alone, pixels=wrong)
        assert refused.value.status() == "400"


def test_what_the_configuration_says(alone: triton.Server, segmenter: Segmenter) -> None:
    with client_of(alone) as client:
        config = client.get_model_config("maskrt")
        assert client.get_model_metadata("maskrt")["platform"] == "python"
        assert not client.is_model_ready("maskrt_engine")
    parameters = config["parameters"]
    assert json.loads(parameters["class_names"]["string_value"]) == list(segmenter.class_names)
    assert json.loads(parameters["score_threshold"]["string_value"]) == segmenter.metadata.score_threshold
    assert alone.metric("nv_inference_request_success", "maskrt") > 0


def test_the_engine_model_by_itself(behind: triton.Server, segmenter: Segmenter, pictures: list[np.ndarray]) -> None:
    batch = segmenter.preprocess([pictures[0]])
    feed = make_feed(batch.canvas, batch.image_sizes, 0.25, 0.4)
    answer = ask(behind, "maskrt_engine", **feed)
    expected = segmenter.infer(batch, score_threshold=0.25, nms_threshold=0.4)
    for name, value in expected.outputs.items():
        assert answer.as_numpy(name).tobytes() == value.tobytes(), name
