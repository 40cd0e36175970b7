"""Every link in README.md and docs/ to something in the checkout leads somewhere, down to the heading."""

import re
from pathlib import Path

import pytest

from .blocks import DOCUMENTS, ROOT

LINK = re.compile(r"\]\(([^)\s]+)\)")


def text_of(document: Path) -> str:
    """Without fenced blocks and code."""
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", lambda code: code[0].replace("](", ""), text)


def anchors_of(text: str) -> set[str]:
    """Of the headings, as GitHub and the site make them, and those that are set."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = (re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading).replace("`", "").lower() for heading in headings)
    return {re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in plain} | set(
        re.findall(r'<a id="(.+?)">', text)
    )


def broken_links(document: Path) -> list[str]:
    """Those to files that do not exist, or to headings that they do not have."""
    broken = []
    for link in LINK.findall(text_of(document)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = document if not name else document.parent / name
        if not target.exists() or (anchor and anchor not in anchors_of(text_of(target))):
            broken.append(link)
    return broken


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links(document: Path) -> None:
    assert broken_links(document) == []


def test_every_page_is_linked() -> None:
    linked = {
        (document.parent / link.partition("#")[0]).resolve()
        for document in DOCUMENTS
        for link in LINK.findall(text_of(document))
    }
    assert set(DOCUMENTS) - {ROOT / "README.md"} <= linked


def test_links_that_are_broken(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text(
        "# A `b`, c\n[1](#a-b-c) [2](#a) [3](b.md) [4](a.md#a-b-c) [5](https://a/b)\n```text\n[6](d.md)\n```\n`[7](e.md)`\n"
    )
    assert broken_links(document) == ["#a", "b.md"]
