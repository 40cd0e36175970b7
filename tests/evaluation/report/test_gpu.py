"""The report of what a GPU showed: of a result by hand, and of what gpu-check itself writes where there is no GPU."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maskrt.evaluation.report import cli as report
from maskrt.evaluation.results.files import read_result, write_result
from maskrt.evaluation.results.gpu_check import GpuCheck, findings
from maskrt.tools.gpu_check import __main__ as gpu_check
from maskrt.tools.gpu_check.parts import PARTS
from maskrt.tools.gpu_check.run import RESULTS


@pytest.fixture
def file(write_results: Callable[..., Path]) -> Path:
    """Give the result of a check that its budget stopped."""
    return write_results("gpu-check") / RESULTS


@pytest.fixture
def page(tmp_path: Path) -> Callable[..., tuple[str, str]]:
    """Make a report of files or folders; gives HTML and Markdown."""

    def make(*paths: Path) -> tuple[str, str]:
        output = tmp_path / "page" / "index.html"
        assert report.main([*map(str, paths), "--output", str(output)]) == 0
        return output.read_text(), output.with_suffix(".md").read_text()

    return make


def change(file: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


def test_everything_that_was_found(file: Path, page: Callable[..., tuple[str, str]]) -> None:
    html, text = page(file)
    assert text.startswith("# gpu-check on NVIDIA X100\n")
    assert "## On NVIDIA X100\n" in text
    assert "## Summary" not in text
    for line in (
        "| RoIAlign of 1000 proposals, FP16: times as fast as torchvision's | at least 5× | 6.00× | met |",
        "| The same: times as long as copying the bytes it moves | at most 2× | 2.50× | not met |",
        "| Proposals of 800x1344, FP16: times as fast as torchvision's | at least 8× | 10.00× | met |",
        "| R50-FPN of 800x1344, FP16: times as fast as torchvision, called eagerly | at least 3× | 3.75× | met |",
        "| build | passed | 12 | – |",
        "| kernels-right | failed | 60 | RuntimeError: 1 of 42 tests did not pass |",
        "| onnxruntime | skipped | 1 | this ONNX Runtime has no CUDA provider |",
        "| compiled | stopped | 99 | it took longer than 99 s |",
        "| sanitizer | not reached | 0 | the budget was used up before |",
        "| kernels-right | 41 | 1 | 0 |",
        r"- kernels-right: tests/plugins/test\_nms.py::test\_one: failed",
        "| torchvision, FP32 | 30.0 | 27.0 | 36.0 | – |",
        "| torchvision, FP32, masks pasted | 36.0 | 32.4 | 43.2 | 0.83× |",
        "| maskrt, FP16, CUDA graph | 8.00 | 7.20 | 9.60 | 3.75× |",
        r"| rpn\_head | – | 1.50 |",
        "- Stages of maskrt in FP32: they cannot be captured: out of memory",
        "- torchvision in FP16: it fails: expected scalar type Half but found Float",
        r"- shapes\_320x448 was left out: ImportError: No module named 'safetensors'",
        "| maskrt, FP32 | 100 | 0 | 0 | 0.0100 / 0.0200 | 0.0100 / 0.0200 |",
        "| maskrt, FP16 | 98 | 2 | 0 | 0.0100 / NaN | 0.0100 / NaN |",
        "| torchvision, FP32 | 0.6371 | – | 0.9000 | 0.6571 | – | 0.9000 | 640 |",
        "| maskrt, FP16 | 0.6359 | −0.0012 | 0.9000 | 0.6571 | 0 | 0.9000 | 640 |",
        "of the demo model on 100 held-out scenes",
        r"| multilevel\_roi\_align\_fp16 | 40.0 | 240 (torchvision) | 6.00× | 16.0 | 2.50× | 0.00100 from FP32 |",
        r"| generate\_proposals\_fp16 | 30.0 | 300 (torchvision) | 10.00× | – | – | NaN px |",
        "| a.engine | no | – | it is for another GPU |",
        "| b.engine | its loading ended the process | – | – |",
        "| c.engine | yes | boxes 0.250; scores NaN | – |",
        r"| resolve\_kernel | 17.5 |",
        r"| compute\_capability | 9.0 |",
        "| Driver | 580.1 |",
        "| Commit | 0123456789ab |",
        "python -m maskrt.tools.gpu",
    ):
        assert line in text, line
    assert '<td class="bad">not met</td>' in html
    assert '<td class="bad">NaN px</td>' in html
    assert "clocks" not in text


def test_the_fairest_side_of_torchvision_counts(file: Path, page: Callable[..., tuple[str, str]]) -> None:
    """That of the same precision, where it runs."""

    def edit(content: dict[str, Any]) -> None:
        whole = content["parts"]["pipeline"]["results"]["r50_fpn_800x1344"]
        whole["torchvision_fp16_us"] = {"median": 20_000.0, "p10": 19_000.0, "p90": 21_000.0}

    change(file, edit)
    _, text = page(file)
    assert "called eagerly | at least 3× | 2.50× | not met |" in text
    assert "| maskrt, FP16, CUDA graph | 8.00 | 7.20 | 9.60 | 3.75× | 2.50× |" in text


def test_bars_that_were_not_measured_say_why(file: Path, page: Callable[..., tuple[str, str]]) -> None:
    def edit(content: dict[str, Any]) -> None:
        parts = content["parts"]
        del parts["kernels-fast"]["results"]["generate_proposals_fp16"]
        del parts["kernels-fast"]["results"]["multilevel_roi_align_fp16"]["over_floor"]
        parts["pipeline"]["results"]["r50_fpn_800x1344"] = {"left_out": "OSError: there are no weights"}

    change(file, edit)
    _, text = page(file)
    assert "at most 2× | – | not measured | kernels-fast did not measure it |" in text
    assert "at least 8× | – | not measured | kernels-fast did not measure it |" in text
    reason = r"r50\_fpn\_800x1344 was left out: OSError: there are no weights"
    assert f"at least 3× | – | not measured | {reason} |" in text
    change(file, lambda content: content["parts"].pop("pipeline"))
    change(file, lambda content: content["parts"]["kernels-fast"].update(status="stopped", reason="it took too long"))
    _, text = page(file)
    assert "at least 3× | – | not measured | pipeline did not run |" in text
    assert "at least 8× | – | not measured | kernels-fast, stopped: it took too long |" in text


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_a_check_that_ended_early(file: Path, page: Callable[..., tuple[str, str]], steps: int) -> None:
    """As when the machine is taken away: the file is that of the parts so far."""
    change(file, lambda content: content.update(parts=dict(list(content["parts"].items())[:steps])))
    _, text = page(file)
    assert text.count("not measured") == (3 if steps > 3 else 4)
    assert ("The GPU and its software:" in text) == (steps > 0)


def test_time_that_is_none_divides_nothing(file: Path, page: Callable[..., tuple[str, str]]) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["parts"]["pipeline"]["results"]["r50_fpn_800x1344"]["ours_fp16_graph_us"]["median"] = 0

    change(file, edit)
    assert "called eagerly | at least 3× | – | not measured |" in page(file)[1]


def test_several_gpus_and_other_results_share_a_page(
    write_results: Callable[..., Path], tmp_path: Path, page: Callable[..., tuple[str, str]]
) -> None:
    folder = write_results("evaluate", "gpu-check")
    result = folder / RESULTS
    for name in ("l4", "x100"):
        copy = folder / f"gpu-check-{name}.json"
        copy.write_bytes(result.read_bytes())
        change(copy, lambda content, name=name: content["environment"].update(gpu=f"NVIDIA {name}"))
    result.unlink()
    html, text = page(folder)
    assert text.startswith("# Mask R-CNN in FP32 and INT8\n")
    titles = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert titles == ["Summary", "Accuracy", "On NVIDIA l4", "On NVIDIA x100", "How this was made"]
    assert 'id="gpu-1"' in html and 'id="gpu-2"' in html


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("format", 2, "is of format 2; this maskrt reads up to format 1"),
        ("format", None, "its format is None"),
        ("parts", [], r"damaged: parts is \[\]"),
        ("parts.build.status", "fine", "parts.build.status is 'fine'"),
        ("parts.build.results", 5, "parts.build.results is 5"),
        (
            "parts.kernels-fast.results.multilevel_roi_align_fp16.speedup",
            "6x",
            "in parts.kernels-fast.results.multilevel_roi_align_fp16, speedup is '6x', which was not expected",
        ),
        (
            "parts.pipeline.results.r50_fpn_800x1344.ours_fp16_graph_us",
            {"median": 5},
            "in parts.pipeline.results.r50_fpn_800x1344, ours_fp16_graph_us has no 'p10'",
        ),
        ("parts.accuracy.results.scenes", "many", "in parts.accuracy.results, scenes is 'many'"),
        ("parts.kernels-right.results.outcomes", [1], "in parts.kernels-right.results, outcomes is"),
    ],
)
def test_a_damaged_file_is_a_sentence(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str, value: object, message: str
) -> None:
    def edit(content: dict[str, Any]) -> None:
        *parents, last = place.split(".")
        for key in parents:
            content = content[key]
        content[last] = value

    change(file, edit)
    assert report.main([str(file), "--output", str(tmp_path / "page.html")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("maskrt report: ")
    assert error.count("\n") == 1
    assert re.search(message, error), error


def test_a_file_that_was_cut_off(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_bytes(file.read_bytes()[:-300])
    assert report.main([str(file), "--output", str(tmp_path / "page.html")]) == 2
    assert "gpu-check.json is damaged: it is not JSON. Make it again." in capsys.readouterr().err


def test_what_the_check_itself_writes_without_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: Callable[..., tuple[str, str]]
) -> None:
    """All parts are skipped, with the reason."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    patient = dataclasses.replace(PARTS["machine"], limit=900)  # of a busy machine, too
    monkeypatch.setitem(PARTS, "machine", patient)  # type: ignore[index]
    assert gpu_check.main(["--dry-run", "--part", "machine", "--output", str(tmp_path / "gpu-check")]) == 0
    _, text = page(tmp_path)
    assert re.search(
        r"^\| machine \| skipped \| \d+ \| torch sees no NVIDIA GPU on this machine \|$", text, re.MULTILINE
    )
    assert text.count("not measured") == 4


def test_findings_are_what_is_written(file: Path, tmp_path: Path) -> None:
    check = read_result(file)
    assert isinstance(check, GpuCheck)
    write_result(tmp_path / "again.json", check)
    again = read_result(tmp_path / "again.json")
    assert isinstance(again, GpuCheck)
    assert findings(again) == findings(check)
    assert findings(check).kernels["generate_proposals_fp16"].speedup == 10
