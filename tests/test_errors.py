"""Each kind of message has a code, and each code a place in docs/troubleshooting.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from maskrt import errors
from maskrt.contract.metadata import RangeError

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("src/maskrt", "calibration", "engines", "evaluation", "examples", "export", "plugins", "runtime", "tools")


def classes() -> dict[str, tuple[set[str], str | None]]:
    """Of every class in the sources: its bases, and the code that it gives itself."""
    found = {}
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases} - {node.name}
                codes = [
                    statement.value.value
                    for statement in node.body
                    if isinstance(statement, ast.Assign | ast.AnnAssign)
                    and isinstance(statement.value, ast.Constant)
                    and "code" in ast.unparse(statement).partition("=")[0].partition(":")[0].split()
                ]
                found[node.name] = bases, codes[0] if codes else None
    return found


CLASSES = classes()


def raised_on_purpose(name: str) -> bool:
    """Whether a class is `MaskrtError` or comes from it."""
    return name == "MaskrtError" or (name in CLASSES and any(map(raised_on_purpose, CLASSES[name][0])))


OURS = {name: code for name, (_, code) in CLASSES.items() if raised_on_purpose(name)}


def test_there_are_some() -> None:
    assert {"MaskrtError", "ModelError", "CheckpointError", "EngineError", "MismatchError"} <= set(OURS)
    assert "CudaError" not in OURS


def test_each_code_is_of_one_class() -> None:
    assert sorted(code for code in OURS.values() if code) == list(errors.CODES)


def test_who_has_no_code_of_its_own() -> None:
    """A kind of another kind that is told in the same way."""
    without = {name for name, code in OURS.items() if code is None}
    assert "RangeError" in without
    assert RangeError.code == "MRT-003"
    assert not [name for name in without if "MaskrtError" in CLASSES[name][0]]


def test_codes_are_in_order_and_of_one_form() -> None:
    assert list(errors.CODES) == [f"MRT-{number:03d}" for number in range(1, len(errors.CODES) + 1)]


def test_each_code_has_its_place_in_the_documents() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    places = re.findall(r'^<a id="(mrt-\d+)"></a>\n\n### (MRT-\d+): (.+)\n\n(\S.+)', text, re.MULTILINE)
    assert [(anchor, code, kind) for anchor, code, kind, _ in places] == [
        (code.lower(), code, kind) for code, kind in errors.CODES.items()
    ]
    assert set(re.findall(r"MRT-\d+", text)) == set(errors.CODES)


@pytest.mark.parametrize("error", [errors.ModelError, errors.DependencyError, RangeError])
def test_message_itself_is_without_it(error: type[errors.MaskrtError]) -> None:
    told = error.__new__(error, "no model")
    told.args = ("no model",)
    assert "MRT" not in str(told)
    assert errors.with_code("no model.", told.code).startswith("no model. [MRT-00")
