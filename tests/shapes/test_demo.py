"""`make demo` says what it is doing, and not more."""

import shutil
from pathlib import Path

import cv2
import pytest

from maskrt.shapes import demo, picture

LINES_OF_MAKE_INSTALL = 5
"""See tests/tools/test_make_environment.py."""


@pytest.fixture
def exported(shapes_float32_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is there already, which else takes the longest."""

    def export(model: object, path: Path, **options: object) -> None:
        print("Comparing with PyTorch\n  80 detections", file=options["stream"])
        shutil.copy(shapes_float32_onnx, path)

    monkeypatch.setattr(demo, "export_onnx", export)


def test_what_is_said_and_made(exported: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["--limit", "2", "--output", str(tmp_path / "demo")]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert [line for line in out.splitlines() if line[0].isdecimal()] == [
        "1/4 Exporting the demo model, which takes the longest",
        "2/4 Finding shapes in 2 held-out scenes and 2 photographs",
        "3/4 Drawing what PyTorch finds, and what the file finds",
        "4/4 Scoring 2 held-out scenes",
    ]
    assert len(out.splitlines()) + LINES_OF_MAKE_INSTALL < 25
    for line in out.splitlines()[-4:]:
        assert Path(line.split()[1]).exists()
    drawn = cv2.imread(str(tmp_path / "demo" / demo.BESIDE_PYTORCH))
    assert drawn.shape[1] > picture._HEIGHT  # two pictures, of which none is narrower than 0.6 of its height
    assert len(list((tmp_path / "demo" / "overlays").iterdir())) == 4
    sides = {
        line.split()[0]: [float(word) for word in line.split()[1:3]]
        for line in out.splitlines()
        if line[:4] in ("   P", "   m")
    }
    assert sides["maskrt"] == pytest.approx(sides["PyTorch"], abs=0.01)


def test_pictures_that_fail(
    exported: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def infer(words: list[str]) -> int:
        print("of the run")
        return 1

    monkeypatch.setattr(demo.infer, "main", infer)
    assert demo.main(["--limit", "1", "--output", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "of the run\n" in err
    assert "Segmenting failed with the exit code 1. [MRT-001]" in err
