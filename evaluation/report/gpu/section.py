"""The section of a GPU."""

from __future__ import annotations

from maskrt.evaluation.report import figures
from maskrt.evaluation.report.document import Block, Cell, Section, Table, table_of
from maskrt.evaluation.report.gpu import tables
from maskrt.evaluation.report.gpu.bars import bars_table
from maskrt.evaluation.results.gpu_check import GpuCheck, Status, findings

_BAD: tuple[Status, ...] = ("failed", "stopped")


def gpu_section(check: GpuCheck, number: int) -> Section:
    """Show what a check found; `number` tells the sections of a page apart."""
    found = findings(check)
    blocks: list[Block] = [bars_table(check, found), _parts(check)]
    for tables_of in (tables.tests, tables.models, tables.accuracy, tables.kernels, tables.engines):
        blocks += tables_of(found)
    if found.facts:
        rows = [[name, fact] for name, fact in found.facts.items()]
        blocks.append(Table("The GPU and its software", ["What", "Is"], rows))
    return Section(f"gpu-{number}", f"On {gpu_name(check)}", blocks)


def gpu_name(check: GpuCheck) -> str:
    """Name the GPU that was checked, or the machine where there was none."""
    name = check.environment.gpu or findings(check).facts.get("device")
    return name or f"{check.environment.device}, which has no GPU"


def _parts(check: GpuCheck) -> Table:
    rows: list[dict[str, str | Cell]] = []
    for name, part in check.parts.items():
        outcome: str | Cell = part.status
        if part.status == "done":
            outcome = Cell("passed", "good")
        elif part.status in _BAD:
            outcome = Cell(part.status, "bad")
        seconds = f"{part.seconds:.0f}"
        rows.append({"Part": name, "Outcome": outcome, "Seconds": seconds, "Reason": part.reason or figures.NONE})
    return table_of("The parts of the check", rows)
