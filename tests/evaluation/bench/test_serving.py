from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from maskrt.evaluation.bench import cli as bench
from maskrt.evaluation.results.bench import Benchmark
from maskrt.evaluation.results.files import read_result
from maskrt.runtime import Segmenter

from ...support.served import Held, Serve, png

Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """`maskrt bench` with these arguments, on a folder of two pictures."""
    (tmp_path / "photos").mkdir()
    for number in range(2):
        (tmp_path / "photos" / f"{number}.png").write_bytes(png(40, 60, seed=number))

    def run(*arguments: object) -> int:
        given = [*arguments, "--images", tmp_path / "photos", "--output", tmp_path / "bench.json"]
        return bench.main([str(argument) for argument in given])

    return run


def result_of(folder: Path) -> Benchmark:
    result = read_result(folder / "bench.json")
    assert isinstance(result, Benchmark)
    return result


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
    assert [(record.name, record.rate, record.sent) for record in result.serving] == [
        ("tiny", 50.0, 50),
        ("tiny", 100.0, 100),
    ]
    for record in result.serving:
        assert record.answered + record.busy == record.sent
        assert record.failed == 0
        assert sum(int(size) * count for size, count in record.batches.items()) == record.answered
        assert 0 < record.seconds.median <= record.seconds.p90 <= record.seconds.p99
        assert record.queue_seconds is not None
    out = capsys.readouterr().out
    assert "requests/s" in out
    assert "runs" in out


def test_a_server_that_is_busy(serve: Serve, held: Held, run: Run, tmp_path: Path) -> None:
    """It answers one of those that come at the same time, and asks the others to come back."""
    held.gate.set()
    server = serve(lambda: held, queue=1)
    assert run("--serve", server.url, "--rate", 2000, "--seconds", 1) == 0
    (record,) = result_of(tmp_path).serving
    assert record.busy > 0
    assert record.answered + record.busy == record.sent == 2000


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--rate", "5"), "--rate is for a server under load: give --serve URL, too"),
        (("--serve", "http://127.0.0.1:1"), "--serve needs --images to send, and --rate"),
        (("--serve", "http://127.0.0.1:1", "--rate", "5", "model.onnx"), "A model file is nothing that a server"),
        (("--serve", "http://127.0.0.1:1", "--rate", "5", "--threads", "1"), "--threads is nothing that a server"),
        (("--serve", "http://127.0.0.1:1", "--rate", "5", "--operations"), "--operations is nothing that a server"),
        (("--serve", "http://127.0.0.1:1", "--rate", "5"), "http://127.0.0.1:1 cannot be reached"),
        (("--serve", "127.0.0.1:8000", "--rate", "5"), "Expected the address of a server"),
    ],
)
def test_what_does_not_work_is_a_sentence(
    run: Run, arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # Files stand in front: options that take several values would take them, too.
    assert run(*sorted(arguments, key=lambda argument: argument != "model.onnx")) == 2
    assert sentence in capsys.readouterr().err
