import json
from pathlib import Path

import pytest

from maskrt.evaluation.evaluate.log import ResultsLog
from maskrt.evaluation.metrics.predict import ImageResult
from maskrt.runtime import ArgumentError

KEY = {"model": "abc", "thresholds": [0.05, 0.5]}


def _result(number: int) -> ImageResult:
    return ImageResult(number, number / 10, [{"image_id": number, "category_id": 3, "score": 0.5}] * number)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Images 1 to 3 are done."""
    path = tmp_path / "a.jsonl"
    with ResultsLog(path, KEY) as log:
        assert log.seconds == {}
        for number in (1, 2, 3):
            log.append(_result(number))
    return path


def test_what_was_done_is_there_again(path: Path) -> None:
    with ResultsLog(path, KEY) as log:
        assert log.seconds == {1: 0.1, 2: 0.2, 3: 0.3}
        assert not log.started_anew
        log.append(_result(4))
        assert [record["image_id"] for record in log.records()] == [1, 2, 2, 3, 3, 3, 4, 4, 4, 4]


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_line_cut_short_is_dropped(path: Path, cut: int) -> None:
    path.write_bytes(path.read_bytes()[:-cut])
    with ResultsLog(path, KEY) as log:
        assert list(log.seconds) == [1, 2]
        log.append(_result(3))
    with ResultsLog(path, KEY) as log:
        assert list(log.seconds) == [1, 2, 3]
        assert len(list(log.records())) == 6


def test_another_run_that_still_writes(path: Path) -> None:
    pytest.importorskip("fcntl")
    with ResultsLog(path, KEY) as log:
        with pytest.raises(ArgumentError, match=r"Another run writes to .*a.jsonl"):
            ResultsLog(path, {})
        log.append(_result(4))
    with ResultsLog(path, KEY) as log:
        assert list(log.seconds) == [1, 2, 3, 4]


def test_a_line_of_something_else_ends_what_was_done(path: Path) -> None:
    header, *lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([header, lines[0], b"{}\n", *lines[1:]]))
    with ResultsLog(path, KEY) as log:
        assert list(log.seconds) == [1]
        assert [record["image_id"] for record in log.records()] == [1]


@pytest.mark.parametrize(
    ("key", "different"), [({**KEY, "model": "xyz"}, ["model"]), ({"model": "abc"}, ["thresholds"])]
)
def test_results_of_something_else_are_thrown_away(path: Path, key: dict, different: list[str]) -> None:
    with ResultsLog(path, key) as log:
        assert log.started_anew == different
        assert log.seconds == {}
        assert list(log.records()) == []


@pytest.mark.parametrize(
    "content", [b"", b"\x00\x01", b"[]\n", b'{"format": 0}\n', b'{"key": [1]}\n', b'{"format": 1, "key": {"mod']
)
def test_a_file_of_something_else(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with ResultsLog(path, KEY) as log:
        assert log.seconds == {}
        log.append(_result(1))
    header, line = path.read_text().splitlines()
    assert json.loads(header)["key"] == KEY
    assert json.loads(line)["image_id"] == 1
