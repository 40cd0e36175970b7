from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from maskrt.evaluation.results.schema import SchemaError, from_json, to_json


@dataclass(frozen=True)
class Part:
    size: tuple[int, int]
    label: str | None


@dataclass(frozen=True)
class Whole:
    verdict: Literal["pass", "fail"]
    share: float
    parts: tuple[Part, ...]
    by_name: Mapping[str, tuple[float, ...]]
    worst: Part | None
    kept: bool = True
    found: float | str | None = None
    anything: Any = None


WHOLE = Whole("pass", 0.5, (Part((3, 4), "a"), Part((5, 6), None)), {"b": (1.0, 2.5)}, None, False)


def content(**changes: Any) -> dict[str, Any]:
    return {**json.loads(json.dumps(to_json(WHOLE))), **changes}


def test_there_and_back():
    assert from_json(Whole, content()) == WHOLE
    assert to_json(WHOLE)["parts"][0] == {"size": [3, 4], "label": "a"}


def test_whole_numbers_are_numbers_defaults_may_be_missing_and_more_is_passed_over():
    changed = content(share=1, later="news")
    del changed["kept"]
    read = from_json(Whole, changed)
    assert (read.share, type(read.share), read.kept) == (1.0, float, True)


@pytest.mark.parametrize("value", [None, 2.5, "NaN"])
def test_a_number_or_a_text(value: Any):
    assert from_json(Whole, content(found=value)).found == value


@pytest.mark.parametrize("value", [None, 2, "a", [1, {"b": [None]}]])
def test_anything(value: Any):
    assert from_json(Whole, content(anything=value)).anything == value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"verdict": "maybe"}, "verdict is 'maybe', which was not expected"),
        ({"verdict": ["pass"]}, r"verdict is \['pass'\]"),
        ({"share": True}, "share is True"),
        ({"share": "0.5"}, "share is '0.5'"),
        ({"share": math.nan}, "share is nan"),
        ({"share": -math.inf}, "share is -inf"),
        ({"share": 10**400}, r"share is 10{56}\.\.\.,"),
        ({"kept": 1}, "kept is 1"),
        ({"parts": {}}, r"parts is \{\}"),
        ({"parts": [{"size": [1, 2]}]}, r"parts\[0\] has no 'label'"),
        ({"parts": [{"size": [1, 2, 3], "label": None}]}, r"parts\[0\]\.size is \[1, 2, 3\]"),
        ({"parts": [{"size": [1, 2.0], "label": None}]}, r"parts\[0\]\.size\[1\] is 2\.0"),
        ({"parts": [{"size": [1, 2], "label": 5}]}, r"parts\[0\]\.label is 5"),
        ({"by_name": []}, r"by_name is \[\]"),
        ({"by_name": {"b": [None]}}, r"by_name\.b\[0\] is None"),
        ({"found": True}, "found is True"),
        ({"found": ["NaN"]}, r"found is \['NaN'\]"),
        ({"worst": 7}, "worst is 7"),
        ({"worst": {}}, "worst has no 'size'"),
    ],
)
def test_what_is_not_as_the_types_say_is_named_with_its_place(changes: dict[str, Any], message: str):
    with pytest.raises(SchemaError, match=f"^{message}"):
        from_json(Whole, content(**changes))


def test_the_whole_file():
    with pytest.raises(SchemaError, match=r"^the file has no 'verdict'"):
        from_json(Whole, {})
