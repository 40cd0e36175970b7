"""The audit itself is the test: nothing is read otherwise than others read it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskrt.tools import reading_audit
from maskrt.tools.reading_audit import Variant, audit, compare, main, picture, pillow_variants, tifffile_variants


def different(variants: list[Variant]) -> list[str]:
    findings = audit(variants)
    assert len(findings) > len(variants) / 2  # the others this version of the writer does not have
    return [f"{one.variant.name}, {one.variant.what}: {one.detail}" for one in findings if one.outcome == "different"]


def test_what_pillow_writes() -> None:
    assert different(list(pillow_variants())) == []


def test_what_tifffile_writes() -> None:
    assert different(list(tifffile_variants())) == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg here")
def test_what_ffmpeg_writes() -> None:
    assert different(list(reading_audit.ffmpeg_variants())) == []


@pytest.mark.slow
@pytest.mark.skipif(next(reading_audit.magick_variants(), None) is None, reason="no ImageMagick here")
def test_what_imagemagick_writes() -> None:
    assert different(list(reading_audit.magick_variants())) == []


@pytest.mark.parametrize(("change", "outcome"), [(0, "equal"), (1, "equal"), (3, "different")])
def test_a_difference_is_seen(tmp_path: Path, change: int, outcome: str) -> None:
    """The control: a reference that is a little brighter."""

    def brighter(path: Path) -> list[np.ndarray]:
        return [np.minimum(picture().astype(int) + change, 255).astype(np.uint8)]

    variant = Variant("Pillow", "a.png", "", lambda path: Image.fromarray(picture()).save(path), brighter)
    finding = compare(variant, tmp_path)
    assert finding is not None
    assert finding.outcome == outcome


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--limit", "9"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["written", "by", "format", "variants", "equal", "refused", "different"]
    assert lines[-1].split()[0] == "all"
    assert lines[-1].split()[-1] == "0"
