"""The audit itself is the test: nothing is read otherwise than others read it."""

import pytest

from maskrt.tools.reading_audit.audit import audit
from maskrt.tools.reading_audit.writers import WRITERS

COUNTS = {"Pillow": 200, "tifffile": 150, "ImageMagick": 150, "libheif": 3, "FFmpeg": 60}
"""Each program has more variants than these, of which its version may lack some."""


@pytest.mark.parametrize(
    "writer",
    [name if name in ("Pillow", "tifffile") else pytest.param(name, marks=pytest.mark.slow) for name in WRITERS],
)
def test_what_it_writes(writer: str) -> None:
    variants = list(WRITERS[writer]())
    if not variants:
        pytest.skip(f"{writer} is not installed")
    assert len(variants) > COUNTS[writer]
    findings = audit(variants)
    assert len(findings) > len(variants) / 2
    bad = [f"{one.variant.name}, {one.variant.what}: {one.detail}" for one in findings if one.outcome == "different"]
    assert bad == []
