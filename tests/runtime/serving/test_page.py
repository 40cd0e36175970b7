"""The page in a real browser, headless."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskrt.runtime import Segmenter

from ...support.browser import CONTRAST, launched, overflow
from ...support.served import Held, Running, Serve, png, records

FAKE_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium, whose camera shows a test picture."""
    with launched(*FAKE_CAMERA) as started:
        yield started


class Page:
    """The page in a window of its own; `complaints` is what the console said and what was asked of other servers."""

    def __init__(self, context: Any, server: Running) -> None:
        self.page, self.complaints = context.new_page(), list[str]()
        own = (server.url, f"blob:{server.url}", "data:")
        self.page.on("console", lambda message: self.complaints.append(f"console: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on(
            "request", lambda request: request.url.startswith(own) or self.complaints.append(f"request: {request.url}")
        )
        self.page.goto(server.url)

    def choose(self, *files: tuple[str, bytes]) -> None:
        self.page.set_input_files(
            "#files", [{"name": name, "mimeType": "image/png", "buffer": data} for name, data in files]
        )

    def wait(self, selector: str, text: str) -> None:
        """Until an element has this text."""
        self.page.locator(selector).filter(has_text=text).first.wait_for(timeout=60_000)

    def slide(self, name: str, value: float) -> None:
        self.page.locator(f"#{name}").fill(str(value))

    def found(self) -> list[str]:
        return self.page.locator("#found .name").all_inner_texts()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Page]]:
    contexts = []

    def open_page(server: Running, width: int = 1280, color_scheme: str = "light", **options: Any) -> Page:
        size = {"width": width, "height": 860}
        contexts.append(browser.new_context(viewport=size, color_scheme=color_scheme, **options))
        return Page(contexts[-1], server)

    yield open_page
    for context in contexts:
        context.close()


def test_a_picture_its_thresholds_and_its_classes(
    serve: Serve, tiny: Segmenter, open_page: Callable[..., Page]
) -> None:
    shown = open_page(serve(lambda: tiny))
    shown.wait("#about", "finds disk, star, größe")
    shown.choose(("street.png", png(240, 320)))
    shown.wait("#status", "1 disk, 1 star")
    assert shown.found() == ["disk", "star"]
    # What is below the slider is there already: no request is needed.
    shown.page.context.set_offline(True)
    shown.slide("score", 0.7)
    assert shown.found() == ["disk"]
    shown.slide("score", 0.25)
    assert shown.found() == ["disk", "star", "größe"]
    assert "1 größe" in str(shown.page.locator("#view").get_attribute("aria-label"))
    shown.page.get_by_role("checkbox", name="disk").uncheck()
    assert shown.found() == ["star", "größe"]
    shown.page.get_by_role("checkbox", name="disk").check()
    shown.page.context.set_offline(False)
    # The overlap is the server's: it is asked again.
    with shown.page.expect_request("**/predict?*") as asked:
        shown.slide("nms", 0.13)
    assert "nms_threshold=0.13" in asked.value.url
    shown.wait("#status", "1 disk")
    assert shown.page.locator("#times dd").count() == 6
    assert shown.complaints == []


def middle(page: Any) -> tuple[float, float]:
    box = page.locator("#view").bounding_box()
    return box["x"] + 0.3 * box["width"], box["y"] + 0.35 * box["height"]  # of the first object


def test_pointer_and_keyboard(serve: Serve, tiny: Segmenter, open_page: Callable[..., Page]) -> None:
    shown = open_page(serve(lambda: tiny))
    shown.choose(("street.png", png(240, 320)))
    shown.wait("#status", "1 disk, 1 star")
    page = shown.page
    page.mouse.move(*middle(page))
    shown.wait("#tip", "disk 90.0 %")
    page.mouse.move(2, 2)
    assert not page.locator("#tip").is_visible()
    page.locator("#view").focus()
    for key, active in (("ArrowRight", "disk"), ("ArrowRight", "star"), ("ArrowRight", "disk"), ("ArrowUp", "star")):
        page.keyboard.press(key)
        assert active in page.locator("#found button.active").inner_text()
    # Everything can be reached by Tab, in the order of the page.
    page.evaluate("document.getElementById('model').tabIndex = -1; document.getElementById('model').focus()")
    reached = []
    for _ in range(14):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.className || 'unnamed'"))
    assert [name for name in reached if name in ("view", "choose", "camera", "score", "nms", "save-json")] == [
        "view",
        "choose",
        "camera",
        "score",
        "nms",
        "save-json",
    ]
    assert shown.complaints == []


def test_masks_are_those_of_the_server(serve: Serve, tiny: Segmenter, open_page: Callable[..., Page]) -> None:
    """Pixel by pixel, in the overlay that is saved: what a mask covers is tinted, and nothing else."""
    grey = np.full((90, 120, 3), 128, np.uint8)
    shown = open_page(serve(lambda: tiny))
    shown.choose(("grey.png", cv2.imencode(".png", grey)[1].tobytes()))
    shown.wait("#status", "1 disk, 1 star")
    shown.page.get_by_role("checkbox", name="star").uncheck()
    shown.wait("#status", "1 disk")
    with shown.page.expect_download() as downloaded:
        shown.page.locator("#save-overlay").click()
    assert downloaded.value.suggested_filename == "grey_instances.png"
    drawn = cv2.imread(downloaded.value.path())
    assert drawn.shape == grey.shape
    (mask,) = tiny.predict(grey, score_threshold=0.8).masks()
    # Away from the outline, which lies outside of the mask, and from the plate above the box.
    near = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    tinted = (drawn != 128).any(axis=2)
    assert tinted[mask].all()
    assert not tinted[25:][~near[25:]].any()


def test_coco_json_of_several_pictures(serve: Serve, tiny: Segmenter, open_page: Callable[..., Page]) -> None:
    shown = open_page(serve(lambda: tiny))
    shown.choose(("a.png", png(60, 80)), ("b.png", png(90, 70)))
    shown.page.locator("#strip button").nth(1).click()
    shown.wait("#status", "1 disk, 1 star")
    shown.page.locator("#strip button").nth(0).click()
    shown.wait("#status", "1 disk, 1 star")
    with shown.page.expect_download() as downloaded:
        shown.page.locator("#save-json").click()
    content = json.loads(Path(downloaded.value.path()).read_text())
    assert [(image["file_name"], image["width"], image["height"]) for image in content["images"]] == [
        ("a.png", 80, 60),
        ("b.png", 70, 90),
    ]
    assert [category["name"] for category in content["categories"]] == ["disk", "star", "größe"]
    for number, size in ((1, (60, 80)), (2, (90, 70))):
        expected = records(tiny.predict(np.zeros((*size, 3), np.uint8), score_threshold=0.5))
        got = [each for each in content["annotations"] if each["image_id"] == number]
        assert [(each["bbox"], each["score"], each["segmentation"]) for each in got] == [
            (each["bbox"], each["score"], each["segmentation"]) for each in expected
        ]
    assert shown.complaints == []


def test_camera(serve: Serve, tiny: Segmenter, open_page: Callable[..., Page]) -> None:
    shown = open_page(serve(lambda: tiny), permissions=["camera"])
    shown.wait("#about", "finds")
    shown.page.locator("#camera").click()
    shown.wait("#status", "1 disk, 1 star")
    assert shown.page.locator("#camera").get_attribute("aria-pressed") == "true"
    shown.page.locator("#camera").click()
    shown.wait("#camera", "Camera")
    assert shown.page.locator("#view").is_visible()
    assert shown.complaints == []


def test_errors_are_sentences(serve: Serve, tiny: Segmenter, open_page: Callable[..., Page]) -> None:
    server = serve(lambda: tiny, max_pixels=10_000)
    shown = open_page(server)
    shown.choose(("notes.png", b"no picture"))
    shown.wait("#error", "notes.png is not a picture that this browser can show.")
    shown.choose(("large.png", png(200, 300)))
    shown.wait("#error", "300x200 pixels; at most 10,000 are decoded.")
    shown.choose(("small.png", png(60, 80)))
    shown.wait("#status", "1 disk, 1 star")
    assert not shown.page.locator("#error").is_visible()
    server.server.stop()
    assert server.ended.wait(60)
    shown.slide("nms", 0.2)
    shown.wait("#error", "The server does not answer. Is it still running?")
    # The browser itself notes what failed; the page adds nothing.
    assert [text for text in shown.complaints if "Failed to load resource" not in text] == []


def test_a_busy_server_is_asked_again(serve: Serve, held: Held, open_page: Callable[..., Page]) -> None:
    server = serve(lambda: held, queue=1)
    other = threading.Thread(target=server.predict, args=(png(),))
    other.start()
    assert held.begun.acquire(timeout=60)
    shown = open_page(server)
    shown.choose(("a.png", png(60, 80)))
    shown.wait("#status", "The server is busy: 1 picture is waiting. Trying again in")
    held.gate.set()
    other.join()
    shown.wait("#status", "1 disk, 1 star")


def test_key(serve: Serve, tiny: Segmenter, open_page: Callable[..., Page]) -> None:
    shown = open_page(serve(lambda: tiny, key="correct-horse"))
    shown.wait("#error", "This server asks for a key.")
    shown.page.get_by_label("API key").fill("battery-staple")
    shown.page.get_by_role("button", name="Use it").click()
    shown.wait("#error", "That is not the key of this server.")
    shown.page.get_by_label("API key").fill("correct-horse")
    shown.page.get_by_role("button", name="Use it").click()
    shown.wait("#about", "finds disk")
    shown.choose(("a.png", png(60, 80)))
    shown.wait("#status", "1 disk, 1 star")


def test_keypoints_and_boxes(serve: Serve, write_model: Callable[..., Path], open_page: Callable[..., Page]) -> None:
    segmenter = Segmenter(write_model(masks=False, keypoints=True))
    shown = open_page(serve(lambda: segmenter))
    shown.choose(("a.png", png(240, 320)))
    shown.wait("#status", "1 disk, 1 star")
    shown.page.mouse.move(*middle(shown.page))
    shown.wait("#tip", "disk 90.0 %")
    assert shown.complaints == []


@pytest.mark.parametrize(("width", "color_scheme"), [(360, "light"), (1280, "dark")])
def test_width_and_colours(
    serve: Serve, tiny: Segmenter, open_page: Callable[..., Page], width: int, color_scheme: str
) -> None:
    shown = open_page(serve(lambda: tiny), width, color_scheme)
    shown.wait("#about", "finds")
    assert overflow(shown.page) <= 0
    shown.choose(("a.png", png(240, 900)), ("b.png", png(900, 240)))
    shown.wait("#status", "1 disk, 1 star")
    assert overflow(shown.page) <= 0
    contrast, text, texts = shown.page.evaluate(CONTRAST)
    assert texts > 20
    assert contrast >= 4.5, text
    view = shown.page.locator("#view").bounding_box()
    assert view["width"] / view["height"] == pytest.approx(900 / 240, rel=0.02)
    assert shown.complaints == []


@pytest.mark.slow
def test_picture_for_the_documents(
    serve: Serve, shapes_onnx: Path, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    """`MASKRT_SCREENSHOT=docs/serving.png` keeps it."""
    from maskrt.shapes.scenes import generate_scene

    segmenter = Segmenter(shapes_onnx)
    shown = open_page(serve(lambda: segmenter, name="shapes"))
    scenes = [
        (f"scene-{i}.png", cv2.imencode(".png", generate_scene(i, "test").image[:, :, ::-1])[1].tobytes())
        for i in (11, 1, 2, 5)
    ]
    shown.choose(*scenes)
    shown.page.locator("#found button").first.wait_for(timeout=120_000)
    for i in (1, 2, 3, 0):
        shown.page.locator("#strip button").nth(i).click()
        shown.page.locator("#save-overlay:enabled").wait_for(timeout=120_000)
    path = Path(os.environ.get("MASKRT_SCREENSHOT") or tmp_path / "page.png")
    shown.page.screenshot(path=path, full_page=True)
    assert cv2.imread(str(path)).shape[1] == 1280
    assert shown.complaints == []


def test_a_picture_that_is_chosen_before_the_model_is_loaded(
    serve: Serve, tiny: Segmenter, open_page: Callable[..., Page]
) -> None:
    go = threading.Event()

    def load() -> Segmenter:
        assert go.wait(60)
        return tiny

    shown = open_page(serve(load, wait=False))
    shown.wait("#status", "The model is being loaded.")
    shown.choose(("notes.png", b"no picture"))
    shown.wait("#error", "notes.png is not a picture")
    go.set()
    shown.wait("#about", "finds disk")
    assert shown.page.locator("#error").is_visible()
    shown.choose(("a.png", png(60, 80)))
    shown.wait("#status", "1 disk, 1 star")
