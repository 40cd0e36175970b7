"""What a GPU has to show: bars that were set before anything was measured, and whether they are met."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from maskrt.evaluation.report import figures
from maskrt.evaluation.report.document import Cell, Table, table_of
from maskrt.evaluation.results.gpu_check import Findings, GpuCheck, KernelRecord, ModelRecord

WHOLE = "r50_fpn_800x1344"


@dataclass(frozen=True)
class Bar:
    """A bar.

    Attributes:
        name: what is measured.
        target: a ratio.
        at_least: whether more is better; otherwise less is.
        part: of the check, which measures it.
        measured: reads it; None where it is not there.
    """

    name: str
    target: float
    at_least: bool
    part: str
    measured: Callable[[Findings], float | None]


def _of_kernel(name: str, value: Callable[[KernelRecord], float | None]) -> Callable[[Findings], float | None]:
    return lambda found: value(found.kernels[name]) if name in found.kernels else None


def speedup_of_whole(model: ModelRecord) -> float | None:
    """Divide torchvision's time, called eagerly, by ours in FP16; torchvision's is that in FP16, where it runs so."""
    ours = model.ours_fp16_graph_us or model.ours_fp16_eager_us
    return None if ours is None else ours.over(model.torchvision_fp16_us or model.torchvision_fp32)


BARS: Sequence[Bar] = (
    Bar(
        "RoIAlign of 1000 proposals, FP16: times as fast as torchvision's",
        5,
        True,
        "kernels-fast",
        _of_kernel("multilevel_roi_align_fp16", lambda kernel: kernel.speedup),
    ),
    Bar(
        "The same: times as long as copying the bytes it moves",
        2,
        False,
        "kernels-fast",
        _of_kernel("multilevel_roi_align_fp16", lambda kernel: kernel.over_floor),
    ),
    Bar(
        "Proposals of 800x1344, FP16: times as fast as torchvision's",
        8,
        True,
        "kernels-fast",
        _of_kernel("generate_proposals_fp16", lambda kernel: kernel.speedup),
    ),
    Bar(
        "R50-FPN of 800x1344, FP16: times as fast as torchvision, called eagerly",
        3,
        True,
        "pipeline",
        lambda found: speedup_of_whole(found.models[WHOLE]) if WHOLE in found.models else None,
    ),
)


def bars_table(check: GpuCheck, found: Findings) -> Table:
    """Make a table of the bars: met, not met, or not measured and why."""
    return table_of("What it has to show", [_row(bar, check, found) for bar in BARS])


def _row(bar: Bar, check: GpuCheck, found: Findings) -> dict[str, str | Cell]:
    value = bar.measured(found)
    met = value is not None and (value >= bar.target if bar.at_least else value <= bar.target)
    verdict: str | Cell = "not measured"
    if value is not None:
        verdict = Cell("met", "good") if met else Cell("not met", "bad")
    return {
        "Bar": bar.name,
        "Target": f"{'at least' if bar.at_least else 'at most'} {bar.target:g}×",
        "Measured": figures.times(value),
        "Verdict": verdict,
        "Why": figures.NONE if value is not None else _why(bar, check, found),
    }


def _why(bar: Bar, check: GpuCheck, found: Findings) -> str:
    """Say why a bar is not measured."""
    part = check.parts.get(bar.part)
    if part is None:
        return f"{bar.part} did not run"
    if part.reason is not None:
        return f"{bar.part}, {part.status}: {part.reason}"
    model = found.models.get(WHOLE)
    if bar.part == "pipeline" and model is not None and model.left_out is not None:
        return f"{WHOLE} was left out: {model.left_out}"
    return f"{bar.part} did not measure it"
