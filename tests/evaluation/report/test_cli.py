import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskrt.evaluation.report import cli as report

ALL = ("compare", "evaluate", "bench")


@pytest.fixture
def make(write_results: Callable[..., Path], tmp_path: Path):
    """Makes a report of some kinds of results and returns HTML and Markdown."""

    def make(*kinds: str) -> tuple[str, str]:
        output = tmp_path / "new" / "page.html"
        assert report.main([str(write_results(*kinds)), "--output", str(output)]) == 0
        return output.read_text(), output.with_suffix(".md").read_text()

    return make


def test_everything_in_one_page(make):
    html, markdown = make()
    for text in (
        "1 of 2 model files stays within the budget",
        "INT8 (model.int8.onnx) fails; on 200 images loses 0.0023 of box AP",
        "finds 3 of 4 instances that PyTorch finds, and 1 that it does not",
        "takes 43.6 ms an image, 2.38 times as fast as PyTorch",
        "1 of 4 detections is missing, the budget is 0.",
        "appears at backbone.fpn",
        "TensorRT was not compared: there is no GPU.",
        "model.engine, batch 8: built for batch 1",
        "maskrt compare a.onnx",
        "1 missing, 1 extra, 60 mask pixels different",
        "100× (90.0 to 110)",
        "says nothing about TensorRT",
    ):
        assert text in html, text
        assert text in markdown, text
    assert html.count("data:image/webp") == 2 * (3 + 3)
    assert html.count("<svg") == 2
    assert '<td class="good">pass</td>' in html
    assert "| model.int8.onnx | INT8 | fail | 0.6348 | −0.0023 | 0.6548 | −0.0023 | 43.6 | 2.38× | 233 |" in markdown


@pytest.mark.parametrize("kind", ALL)
def test_any_one_kind_gives_a_report_of_what_is_there(make, kind: str):
    html, markdown = make(kind)
    titles = {"compare": "Differences from PyTorch", "evaluate": "Accuracy", "bench": "Speed and memory"}
    for other, title in titles.items():
        assert (f">{title}</h2>" in html) == (f"## {title}" in markdown) == (other == kind)
    assert ("Peak MB" in html) == (kind == "bench")
    assert ("Verdict" in html) == (kind == "compare")


def test_the_page_asks_for_nothing_and_text_is_not_markup(make):
    html, markdown = make()
    assert re.findall(r"<(script|link|iframe|object|base)\b", html) == []
    assert set(re.findall(r'\b(?:src|href)="([^"]{0,5})', html)) <= {"data:", *re.findall(r'href="(#.{0,4})', html)}
    assert "url(http" not in html.replace("'", "").replace('"', "")
    assert "@import" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; | *b*" in html
    assert r"\<script\>alert(1)\</script\> \| \*b\*" in markdown
    assert "<script" not in markdown.replace(r"\<script", "")


@pytest.mark.parametrize("damage", ["gone", "smaller", "damaged"])
def test_a_picture_that_cannot_be_shown_is_a_sentence(write_results, tmp_path: Path, damage: str):
    folder = write_results("compare")
    picture = folder / "a.png"
    if damage == "smaller":
        cv2.imwrite(str(picture), np.zeros((30, 40, 3), np.uint8))
    else:
        picture.unlink() if damage == "gone" else picture.write_bytes(b"PNG")
    assert report.main([str(folder), "--output", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "The picture a.png is not shown: " in page
    assert page.count("data:image/webp") == 3 + 3


def test_results_are_found_in_folders_of_their_own(write_results: Callable[..., Path], tmp_path: Path):
    folder = write_results()
    for kind in ALL:
        (folder / kind).mkdir()
        shutil.move(folder / f"{kind}.json", folder / kind / f"{kind}.json")
    assert report.main([str(folder), "--output", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert all(title in page for title in ("Differences from PyTorch", "Speed and memory", "AP by class"))


def test_latency_bars_show_sides_of_one_batch_only(write_results: Callable[..., Path], tmp_path: Path):
    """A side that failed on the smallest batch is timed on a larger one: its bar would look slow."""
    file = write_results("bench") / "bench.json"
    content = json.loads(file.read_text())
    content["pipeline"][0]["seconds"]["infer"]["median"] = 1.2  # over a second: still no exponent
    content["pipeline"] = [e for e in content["pipeline"] if (e["name"], e["batch"]) != ("model.onnx", 1)]
    file.write_text(json.dumps(content))
    assert report.main([str(file), "--output", str(tmp_path / "page.html")]) == 0
    assert "Latency by stage: PyTorch 1,204 ms, INT8 43.6 ms." in (tmp_path / "page.md").read_text()
    assert ">1,204</text>" in (tmp_path / "page.html").read_text()


def test_two_files_of_one_kind(write_results: Callable[..., Path], tmp_path: Path, capsys):
    file = write_results("bench") / "bench.json"
    assert report.main([str(file), str(file), "--output", str(tmp_path / "page.html")]) == 2
    assert "a second file of results of bench" in capsys.readouterr().err


def test_no_results(tmp_path: Path, capsys):
    assert report.main([str(tmp_path), "--output", str(tmp_path / "page.html")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("maskrt report: There is no evaluate.json, compare.json, bench.json or gpu-check.json in ")
    assert "`make evaluate`" in error
    assert not (tmp_path / "page.html").exists()


def _change(path: str, value: object) -> Callable[[dict], None]:
    def change(content: dict) -> None:
        *parents, last = [int(key) if key.isdecimal() else key for key in path.split(".")]
        for key in parents:
            content = content[key]
        content[last] = value

    return change


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("bench", _change("format", 2), "is of format 2; this maskrt reads up to format 1"),
        (
            "bench",
            _change("kind", "holiday"),
            "expected the kind evaluate, compare, bench, gpu-check, but got 'holiday'",
        ),
        ("bench", lambda content: content.pop("pipeline"), "has no 'pipeline'"),
        ("bench", _change("pipeline.1.seconds.infer.p99", "fast"), "pipeline[1].seconds.infer.p99 is 'fast'"),
        ("bench", _change("environment", None), "environment is None"),
        ("bench", _change("pipeline.0.seconds.infer.median", math.nan), "seconds.infer.median is nan"),
        ("compare", _change("images.0.instances.PyTorch.0.score", math.inf), "PyTorch[0].score is inf"),
        ("evaluate", _change("models.2.mask", 7), "models[2].mask is 7"),
        ("evaluate", _change("models.0.box.AP", True), "models[0].box.AP is True"),
        ("evaluate", lambda content: content["models"][0]["mask"].pop("AP"), "models[0].mask has no 'AP'"),
        ("compare", _change("candidates", {}), "candidates is {}"),
        (
            "compare",
            lambda content: content["images"][0]["instances"].pop("PyTorch"),
            "no instances of PyTorch on a.png",
        ),
        ("compare", _change("images.0.instances.PyTorch.0.box", [1]), "images[0].instances.PyTorch[0].box is [1]"),
        ("compare", _change("images.0.instances.PyTorch.0.rle.size", [5, 5]), "a mask of another size"),
        ("compare", _change("images.0.instances.PyTorch.0.rle.counts", "\x7f"), "RLE counts are damaged"),
        ("compare", _change("images.0.instances.PyTorch.0.rle.counts", "1"), "describes 1 pixels"),
    ],
)
def test_damaged_results_are_a_sentence(write_results, tmp_path: Path, capsys, kind: str, change, message: str):
    file = write_results(kind) / f"{kind}.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    assert report.main([str(file), "--output", str(tmp_path / "page.html")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("maskrt report: ")
    assert message in error
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b"null"])
def test_what_is_not_json_is_a_sentence(tmp_path: Path, capsys, text: bytes):
    (tmp_path / "bench.json").write_bytes(text)
    assert report.main([str(tmp_path), "--output", str(tmp_path / "page.html")]) == 2
    problems = "is damaged: it is not JSON", "is no result of maskrt", ": expected text in UTF-8"
    assert re.match(rf"maskrt report: .*bench.json ?({'|'.join(problems)})", capsys.readouterr().err)


def test_no_file_and_no_place_to_write(write_results, tmp_path: Path, capsys):
    assert report.main([str(tmp_path / "gone.json")]) == 2
    assert "gone.json: there is no such file" in capsys.readouterr().err
    folder = write_results("bench")
    assert report.main([str(folder), "--output", str(tmp_path / "page.pdf")]) == 2
    assert "--output should end in .html" in capsys.readouterr().err
    assert report.main([str(folder), "--output", str(folder / "bench.json" / "page.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_half_a_character_is_replaced(write_results, tmp_path: Path):
    file = write_results("evaluate") / "evaluate.json"
    file.write_text(file.read_text().replace("disk", "\\ud800disk"))
    assert report.main([str(file), "--output", str(tmp_path / "page.html")]) == 0
    assert "?disk" in (tmp_path / "page.html").read_text()
