"""The report in a real browser, headless."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest

from maskrt.evaluation.report import cli as report
from maskrt.evaluation.report.plots import Point, accuracy_against_speed

from ...support.browser import CONTRAST, launched, overflow

EXAMPLE = Path(__file__).resolve().parents[3] / "docs" / "example-report" / "index.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    with launched() as started:
        yield started


@pytest.fixture
def open_page(browser: Any, write_results: Callable[..., Path], tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens the report of all results; `page.complaints` lists what the console said and what was asked for."""
    contexts = []

    def open_page(width: int, color_scheme: str, change: Callable[[str], str] = str) -> tuple[Any, list[str]]:
        path = tmp_path / "page.html"
        assert report.main([str(write_results()), "--output", str(path)]) == 0
        path.write_text(change(path.read_text()))
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=color_scheme)
        contexts.append(context)
        page, complaints = context.new_page(), []
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (complaints.append("dialog"), dialog.dismiss()))
        page.on("request", lambda request: complaints.append(f"request: {request.url}"))
        page.goto(path.as_uri())
        # The page itself, and pictures out of the page itself, are no requests to anywhere.
        own = (f"request: {path.as_uri()}", "request: data:")
        return page, [complaint for complaint in complaints if not complaint.startswith(own)]

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize(("width", "color_scheme"), [(360, "light"), (1280, "dark"), (360, "dark"), (1280, "light")])
def test_the_page_in_a_browser(open_page: Callable[..., Any], width: int, color_scheme: str) -> None:
    page, complaints = open_page(width, color_scheme)
    assert complaints == []
    widths = page.evaluate("[...document.images].map(image => image.complete ? image.naturalWidth : 0)")
    assert len(widths) == 12
    assert min(widths) > 0
    assert page.evaluate("[...document.images].every(image => image.alt.length > 10)")
    assert overflow(page) <= 0
    contrast, text, texts = page.evaluate(CONTRAST)
    assert texts > 300
    assert contrast >= 4.5, text
    assert overflow(page) <= 0, "with everything unfolded"
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(heading => Number(heading.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.evaluate("[...document.querySelectorAll('nav a')].every(a => document.querySelector(a.hash))")


def test_text_in_plots_is_readable_on_a_phone(open_page: Callable[..., Any]) -> None:
    page, _ = open_page(360, "light")
    heights = page.evaluate(
        "[...document.querySelectorAll('svg text')].map(text => text.getBoundingClientRect().height)"
    )
    assert len(heights) > 20
    assert min(heights) >= 9


def test_the_kept_example(browser: Any) -> None:
    assert EXAMPLE.stat().st_size < 1_500_000
    page, complaints = browser.new_page(viewport={"width": 360, "height": 800}), []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda request: complaints.append(request.url))
    page.goto(EXAMPLE.as_uri())
    assert [text for text in complaints if not text.startswith(("data:", EXAMPLE.as_uri()))] == []
    assert page.evaluate("[...document.images].every(image => image.naturalWidth)")
    assert page.evaluate("document.images.length") >= 24
    assert overflow(page) <= 0
    page.close()


def test_names_of_models_of_like_speed_and_accuracy_keep_apart(browser: Any) -> None:
    points = [Point("PyTorch", 2.2, 0.6624), Point("FP32", 2.9, 0.6624), Point("FP16", 2.88, 0.6626)]
    page = browser.new_page(viewport={"width": 360, "height": 800})
    page.set_content(accuracy_against_speed([*points, Point("INT8", 2.3, 0.6623)], "mask"))
    boxes = page.evaluate(
        "[...document.querySelectorAll('svg text')].filter(t => /^(PyTorch|FP32|FP16|INT8)$/.test(t.textContent))"
        ".map(t => t.getBoundingClientRect()).map(r => [r.left, r.top, r.right, r.bottom])"
    )
    page.close()
    assert len(boxes) == 4
    for a, b in combinations(boxes, 2):
        assert min(a[2], b[2]) <= max(a[0], b[0]) or min(a[3], b[3]) <= max(a[1], b[1])


@pytest.mark.parametrize(
    ("fault", "finds"),
    [
        (lambda html: html.replace("<main>", "<main><script>alert(1)</script>"), lambda page, told: told),
        (lambda html: html.replace("<main>", "<main><img src='http://localhost:9/a.png'>"), lambda page, told: told),
        (
            lambda html: html.replace("<main>", "<main><pre style='width: 900px'></pre>"),
            lambda page, told: overflow(page) > 0,
        ),
        (
            lambda html: html.replace("--muted: #57606a", "--muted: #9aa3ad"),
            lambda page, told: page.evaluate(CONTRAST)[0] < 4.5,
        ),
        (
            lambda html: html.replace("base64,U", "base64,X"),
            lambda page, told: not page.evaluate("[...document.images].every(image => image.naturalWidth)"),
        ),
    ],
    ids=["script", "request", "overflow", "contrast", "broken picture"],
)
def test_the_checks_find_faults(open_page: Callable[..., Any], fault: Any, finds: Any) -> None:
    """The negative control of the test above."""
    page, complaints = open_page(360, "light", fault)
    assert finds(page, complaints)
