from __future__ import annotations

import http.client
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maskrt.evaluation.bench import cli as bench
from maskrt.evaluation.results.bench import Benchmark, ServingRecord
from maskrt.evaluation.results.files import read_result
from maskrt.runtime import Segmenter

from ....support.served import Held, Serve, png

Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """`maskrt bench` with these arguments, on a folder of two pictures."""
    (tmp_path / "photos").mkdir()
    for number, width in enumerate((60, 50)):
        (tmp_path / "photos" / f"{number}.png").write_bytes(png(40, width, seed=number))

    def run(*arguments: object) -> int:
        given = [*arguments, "--images", tmp_path / "photos", "--output", tmp_path / "bench.json"]
        return bench.main([str(argument) for argument in given])

    return run


def result_of(folder: Path) -> Benchmark:
    result = read_result(folder / "bench.json")
    assert isinstance(result, Benchmark)
    return result


def check_sums(record: ServingRecord) -> None:
    assert record.answered + record.busy + record.failed + record.lost + record.mixed_up == record.sent
    assert 0 < record.seconds.median <= record.seconds.p90 <= record.seconds.p99
    assert record.deviating <= record.answered


def test_a_server_that_keeps_up(
    serve: Serve, tiny: Segmenter, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key"
    key.write_text("correct-horse\n")
    server = serve(lambda: tiny, key="correct-horse")
    options = ("--rate", 50, 100, "--seconds", 1, "--score-threshold", 0.2, "--api-key-file", key)
    assert run("--serve", server.url, *options) == 0
    result = result_of(tmp_path)
    assert result.settings.pictures == 2
    assert [(record.name, record.clients, record.rate, record.sent) for record in result.serving] == [
        ("tiny", None, 50.0, 50),
        ("tiny", None, 100.0, 100),
    ]
    for record in result.serving:
        check_sums(record)
        assert record.answered + record.busy == record.sent
        assert sum(int(size) * count for size, count in record.batches.items()) == record.answered
        assert record.queue_seconds is not None
    out = capsys.readouterr().out
    assert "answers/s" in out and "runs" in out and "wrong client" not in out


def test_clients_that_wait(
    serve: Serve, tiny: Segmenter, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The closed loop, its server's memory, the stream beside it, and a rate that is a multiple of what it got."""
    server = serve(lambda: tiny)
    options = ("--clients", 3, "--requests", 12, "--warm-up", 4, "--repeats", 2, "--batch-size", 1, 2)
    assert run(tiny.path, "--serve", server.url, *options, "--rate", "0.1x", "--seconds", 1) == 0
    clients, rate = result_of(tmp_path).serving
    assert (clients.clients, clients.rate, clients.sent, clients.answered) == (3, None, 24, 24)
    assert sum(int(size) * count for size, count in clients.batches.items()) == 24
    assert [stream.batch for stream in clients.streams] == [1, 2]
    for stream in clients.streams:
        assert 0 < stream.ratio.least <= stream.ratio.median <= stream.ratio.most
        assert stream.images_per_second > 0
    assert rate.clients is None and rate.rate == pytest.approx(0.1 * clients.answers_per_second)
    for record in (clients, rate):
        check_sums(record)
        assert record.deviating == record.mixed_up == 0
        if record.memory is not None:  # /proc says so on Linux
            assert record.memory.growth == pytest.approx(record.memory.after / record.memory.before - 1)
    assert server.metric("maskrt_images_total") == 2 + 4 + 24 + rate.answered
    assert "Segmenter.stream, batch 2: " in capsys.readouterr().out


def test_a_server_that_is_busy(serve: Serve, held: Held, run: Run, tmp_path: Path) -> None:
    """It answers one of those that come at the same time, and asks the others to come back."""
    held.gate.set()
    server = serve(lambda: held, queue=1)
    assert run("--serve", server.url, "--rate", 2000, "--seconds", 1) == 0
    (record,) = result_of(tmp_path).serving
    check_sums(record)
    assert record.busy > 0
    assert record.answered + record.busy == record.sent == 2000


class Careless:
    """A segmenter that finds in every third picture what it found in the one before."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._calls, self._last = itertools.count(1), list[Any]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._segmenter, name)

    def postprocess(self, *arguments: Any) -> Any:
        found = self._segmenter.postprocess(*arguments)
        number = next(self._calls)
        if number > 2 and number % 3 == 0:  # not while they are sent alone
            return self._last
        self._last = found
        return found


def test_answers_of_other_pictures_are_found(
    serve: Serve, tiny: Segmenter, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(lambda: Careless(tiny))
    assert run("--serve", server.url, "--clients", 1, "--requests", 12) == 1
    (record,) = result_of(tmp_path).serving
    check_sums(record)
    assert record.mixed_up > 0 and record.failed == record.lost == record.deviating == 0


def test_requests_without_an_answer_are_lost(
    serve: Serve, tiny: Segmenter, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(lambda: tiny)
    read, calls = http.client.HTTPResponse.read, itertools.count()

    def cut_off(response: http.client.HTTPResponse, *amount: int) -> bytes:
        body = read(response, *amount)
        if body.startswith(b'{"model":') and next(calls) % 5 >= 3:  # two after each other: it is asked once more
            raise http.client.IncompleteRead(body)
        return body

    monkeypatch.setattr(http.client.HTTPResponse, "read", cut_off)
    assert run("--serve", server.url, "--clients", 1, "--requests", 12) == 1
    (record,) = result_of(tmp_path).serving
    check_sums(record)
    assert record.lost > 0 and record.failed == record.mixed_up == 0


def test_pictures_with_one_answer_are_told(
    serve: Serve, tiny: Segmenter, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos" / "1.png").write_bytes(png(40, 60, seed=1))
    assert run("--serve", serve(lambda: tiny).url, "--clients", 1, "--requests", 2) == 0
    assert "All pictures have one answer: it could not be told" in capsys.readouterr().out


def test_pictures_that_the_server_refuses(
    serve: Serve, tiny: Segmenter, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(lambda: tiny, max_pixels=2000)
    assert run("--serve", server.url, "--clients", 1) == 2
    assert "0.png was sent alone, and" in (error := capsys.readouterr().err)
    assert "answered 413: The picture says it has 60x40 pixels" in error


def test_another_model_than_the_servers(
    serve: Serve, tiny: Segmenter, write_model: Callable[..., Path], run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(lambda: tiny)
    other = write_model("other.onnx", class_names=("__background__", "whale", "squid", "crab"))
    assert run(other, "--serve", server.url, "--clients", 1) == 2
    assert "it is another model" in capsys.readouterr().err


MODEL = "model.onnx"
SERVER = ("--serve", "http://127.0.0.1:1")
RATE, CLIENTS = ("--rate", "5"), ("--clients", "2")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (RATE, "--rate is for a server under load: give --serve URL, too"),
        (CLIENTS, "--clients is for a server under load: give --serve URL, too"),
        (SERVER, "--serve needs --images to send, and --clients or --rate"),
        ((*SERVER, *RATE, MODEL), "A model file is for clients that a server is tested with: give --clients"),
        ((*SERVER, *CLIENTS, MODEL, MODEL), "--serve takes one model file, that of the server, but got 2"),
        ((*SERVER, *CLIENTS, MODEL), "model.onnx: there is no such file"),
        ((*SERVER, *RATE, "--requests", "5"), "--requests is for clients"),
        ((*SERVER, *RATE, "--warm-up", "5"), "--warm-up is for clients"),
        ((*SERVER, "--rate", "2x"), "A --rate such as 2x is a multiple of what clients got: give --clients, too"),
        ((*SERVER, *CLIENTS, "--threads", "1"), "--threads is for the stream beside a server: give its model file"),
        ((*SERVER, *CLIENTS, "--batch-size", "4"), "--batch-size is for the stream beside a server"),
        ((*SERVER, *CLIENTS, "--repeats", "4"), "--repeats is for the stream beside a server"),
        ((*SERVER, *RATE, "--operations"), "--operations is nothing that a server is tested with"),
        ((*SERVER, "--clients", "257"), "expected at most 256, got 257"),
        ((*SERVER, "--rate", "xx"), "expected a number from 0.01 to 100000, got x"),
        ((*SERVER, *RATE), "http://127.0.0.1:1 cannot be reached"),
        (("--serve", "127.0.0.1:8000", *RATE), "Expected the address of a server"),
    ],
)
def test_what_does_not_work_is_a_sentence(
    run: Run, arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # Files stand in front: options that take several values would take them, too.
    try:
        assert run(*sorted(arguments, key=lambda argument: argument != MODEL)) == 2
    except SystemExit as exit:
        assert exit.code == 2
    assert sentence in capsys.readouterr().err
