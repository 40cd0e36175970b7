"""Writing variants, reading them twice, and counting what came of it."""

from __future__ import annotations

import tempfile
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskrt.errors import MaskrtError
from maskrt.runtime import read_image
from maskrt.runtime.video.reader import VideoReader
from maskrt.tools.reading_audit.variants import Variant

_SHARE = 0.99
"""Of the values that have to be within the tolerance: what two programs convert may differ by more in a few."""


@dataclass(frozen=True)
class Finding:
    """How a variant came out: "equal", "refused" or "different", and the sentence or the difference."""

    variant: Variant
    outcome: str
    detail: str


def compare(variant: Variant, folder: Path) -> Finding | None:
    """Write a variant and read it; None where the writer cannot write it."""
    path = folder / variant.name
    path.unlink(missing_ok=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            variant.write(path)
    except Exception:  # of whatever kind: the variant is one that this version of the writer does not have
        return None
    if not path.exists() or not path.stat().st_size:
        return None
    try:
        ours = _read(path)
    except MaskrtError as error:
        return Finding(variant, "refused", str(error).replace(str(folder), ""))
    if variant.reference is None:
        return Finding(variant, "different", f"read as {ours[0].shape}, but should be refused")
    theirs = variant.reference(path)
    if [image.shape for image in ours] != [image.shape for image in theirs]:
        shapes = f"{len(ours)} of {ours[0].shape}", f"{len(theirs)} of {theirs[0].shape if theirs else ()}"
        return Finding(variant, "different", f"read as {shapes[0]}, by others as {shapes[1]}")
    differences = [np.abs(one.astype(int) - other) for one, other in zip(ours, theirs, strict=True)]
    share = min(float((difference <= variant.tolerance).mean()) for difference in differences)
    largest = max(int(difference.max()) for difference in differences)
    outcome = "equal" if share >= _SHARE else "different"
    return Finding(variant, outcome, f"{share:.1%} within {variant.tolerance}, at most {largest}")


def _read(path: Path) -> list[np.ndarray]:
    if path.suffix in (".mp4", ".mkv", ".mov", ".avi", ".webm", ".ts"):
        with VideoReader(str(path), threads=1) as reader:
            return [reader.to_rgb(frame) for frame in reader.pictures()]
    return [read_image(path)]


def audit(variants: Sequence[Variant]) -> list[Finding]:
    """Read the variants; those that no program here can write are left out."""
    with tempfile.TemporaryDirectory() as folder:
        found = (compare(variant, Path(folder)) for variant in variants)
        return [finding for finding in found if finding is not None]


def table(findings: Sequence[Finding]) -> str:
    """Return a line for each writer and format, and one for all."""
    counts: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for finding in findings:
        kind = finding.variant.name.rpartition(".")[2]
        for row in ((finding.variant.writer, kind), ("all", "")):
            counts[row][finding.outcome] += 1
    head = f"{'written by':12} {'format':7} {'variants':>8} {'equal':>6} {'refused':>8} {'different':>10}"
    lines = [head]
    for (writer, kind), outcomes in sorted(counts.items(), key=lambda row: (row[0][0] == "all", row[0])):
        numbers = f"{outcomes['equal']:6} {outcomes['refused']:8} {outcomes['different']:10}"
        lines.append(f"{writer:12} {kind:7} {sum(outcomes.values()):8} {numbers}")
    return "\n".join(lines)
