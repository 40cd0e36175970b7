"""How variants are compared, and what the command says of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskrt.tools.reading_audit.__main__ import main
from maskrt.tools.reading_audit.audit import compare
from maskrt.tools.reading_audit.variants import Variant, picture


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
