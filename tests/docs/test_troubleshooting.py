"""docs/troubleshooting.md quotes what the code really says, and its commands exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
FOLDERS = ("src/maskrt", "runtime", "engines", "plugins", "export", "calibration")
QUOTES = re.findall(r"^\| `(.+?)` \| ", TEXT, re.MULTILINE)


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    """Every text in the Python sources, with … for what an f-string fills in; the sources in C++ and CMake, with their
    broken strings joined."""
    texts = []
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    texts.append("".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
    native = [path for path in (ROOT / "plugins").rglob("*") if path.suffix in (".cpp", ".cmake")]
    return texts + [re.sub(r'"\s*\n\s*"', "", path.read_text(encoding="utf-8")) for path in native]


def is_said(quote: str, sentences: list[str]) -> bool:
    """Whether one sentence has all parts of the quoted one, without its names and numbers, in this order."""
    parts = [part.strip(" .,:;") for part in quote.split("…") if part.strip(" .,:;()")]
    pattern = re.compile(".*".join(map(re.escape, parts)), re.DOTALL)
    return any(pattern.search(sentence) for sentence in sentences)


def test_there_are_quotes() -> None:
    assert len(QUOTES) == len(re.findall(r"^\| (?!it says|-)", TEXT, re.MULTILINE)) > 20


@pytest.mark.parametrize("quote", QUOTES)
def test_the_code_says_this(quote: str, sentences: list[str]) -> None:
    assert is_said(quote, sentences), "docs/troubleshooting.md quotes what is not said any more."


def test_sentences_that_nobody_says(sentences: list[str]) -> None:
    """The negative control: no part of it, parts of two messages, and the parts of one in another order."""
    assert not is_said("… is of a colour that …", sentences)
    assert not is_said("… has no manifest: … bytes, but … were built.", sentences)
    assert is_said("… is truncated: it has … bytes, but … were built.", sentences)
    assert not is_said("… were built … is truncated: …", sentences)


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"`make ([a-z-]+)`", TEXT))
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
