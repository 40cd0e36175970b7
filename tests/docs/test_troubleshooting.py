"""docs/troubleshooting.md quotes what the code really says, and its commands exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
FOLDERS = ("runtime", "engines", "plugins", "export", "calibration")
QUOTES = re.findall(r"^\| `(.+?)` \| ", TEXT, re.MULTILINE)


@pytest.fixture(scope="module")
def sentences() -> str:
    """Every text in the Python sources, and the sources in C++ and CMake with their broken strings joined."""
    texts = []
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            texts += [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    for path in (ROOT / "plugins").rglob("*"):
        if path.suffix in (".cpp", ".cmake"):
            texts.append(re.sub(r'"\s*\n\s*"', "", path.read_text(encoding="utf-8")))
    return "\0".join(texts)


def parts(quote: str) -> list[str]:
    """A quoted sentence without the names and numbers in it."""
    return [part.strip(" .,:;") for part in quote.split("…") if part.strip(" .,:;()")]


def test_there_are_quotes() -> None:
    assert len(QUOTES) == len(re.findall(r"^\| (?!it says|-)", TEXT, re.MULTILINE)) > 20


@pytest.mark.parametrize("quote", QUOTES)
def test_the_code_says_this(quote: str, sentences: str) -> None:
    missing = [part for part in parts(quote) if part not in sentences]
    assert not missing, f"No message has {missing}: docs/troubleshooting.md quotes what is not said any more."


def test_a_sentence_that_nobody_says(sentences: str) -> None:
    """The negative control."""
    assert parts("… is of a colour that …") == ["is of a colour that"]
    assert "is of a colour that" not in sentences


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"`make ([a-z-]+)`", TEXT))
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
