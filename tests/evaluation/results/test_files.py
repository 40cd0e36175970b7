"""What is written is what is read; damaged files are in the tests of the report, which says the sentences."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from maskrt.evaluation.results.files import KINDS, kind_of, read_result, write_result


@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back(write_results: Callable[..., Path], tmp_path: Path, kind: str) -> None:
    file = write_results(kind) / f"{kind}.json"
    result = read_result(file)
    assert kind_of(result) == kind
    again = tmp_path / "again.json"
    write_result(again, result)
    assert again.read_bytes() == file.read_bytes()
    content = json.loads(file.read_text())
    assert (content["format"], content["kind"]) == (1, kind)


def test_letters_and_halves_of_letters(write_results: Callable[..., Path], tmp_path: Path) -> None:
    """A damaged class name may hold half a character, which UTF-8 does not have."""
    result = read_result(write_results("evaluate") / "evaluate.json")
    odd = dataclasses.replace(result, dataset=dataclasses.replace(result.dataset, name="Münze \ud800 🪙"))
    path = tmp_path / "odd.json"
    write_result(path, odd)
    assert read_result(path) == odd
    assert "Münze" in path.read_text(encoding="utf-8")
