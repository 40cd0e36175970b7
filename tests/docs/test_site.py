"""`make docs` makes a site of all documents, in which every link leads somewhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from maskrt.tools import documentation_site as site

from .blocks import DOCUMENTS, ROOT

pytest.importorskip("mkdocs", reason="mkdocs is not installed, which makes the site")


def pages() -> set[str]:
    return {site.ABOVE.get(path.name, path.name) for path in DOCUMENTS}


def test_site_has_every_document(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    names = {name.replace(".md", ".html") for name in pages()}
    assert names <= {path.name for path in (tmp_path / "site").iterdir()}
    front = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert 'src="figures/demo.jpg"' in front
    for name in names:
        assert f'href="{name}"' in front
    text = (tmp_path / "site" / "search" / "search_index.json").read_text(encoding="utf-8")
    found = {entry["location"].partition("#")[0] for entry in json.loads(text)["docs"]}
    assert names <= found
    assert not any("//fonts." in page.read_text(encoding="utf-8") for page in (tmp_path / "site").glob("*.html"))


def test_navigation() -> None:
    there = {"index.md", "install.md", "zebra.md", "extending.md"}
    assert site.navigation(there) == [
        {"Start": ["index.md", "install.md"]},
        {"Behind it": ["extending.md"]},
        {"More": ["zebra.md"]},
    ]


@pytest.mark.parametrize(
    ("text", "above", "expected"),
    [
        ("[a](docs/engines.md#x)", True, "[a](engines.md#x)"),
        ("![a](docs/figures/demo.jpg)", True, "![a](figures/demo.jpg)"),
        ("[a](CONTRIBUTING.md) [b](https://a/docs/b.md)", True, "[a](contributing.md) [b](https://a/docs/b.md)"),
        ("[a](../CHANGELOG.md) [b](#b)", False, "[a](changelog.md) [b](#b)"),
        ("[a](example-report/index.md)", False, "[a](example-report/index.html)"),
    ],
)
def test_links(text: str, above: bool, expected: str) -> None:
    assert site.with_links_of_the_site(text, above=above) == expected
