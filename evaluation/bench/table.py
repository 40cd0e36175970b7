"""The benchmark's records as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from maskrt.evaluation.bench.sides import STAGES
from maskrt.evaluation.bench.timing import Ratio


def pipeline_table(records: Sequence[dict[str, Any]]) -> str:
    """A line for each side: milliseconds of a batch, of its stages, images per second, speed-up and memory."""
    width = max(len(record["name"]) for record in records)
    stages = " ".join(f"{stage:>11}" for stage in STAGES)
    totals = " ".join(f"{key:>8}" for key in ("median", "p90", "p99"))
    header = f"{'ms':<{width}} {totals} {stages} {'images/s':>9} {'overlapped':>10} {'peak MB':>8}  faster by"
    lines = [header]
    for record in records:
        seconds = record["seconds"]
        total = " ".join(f"{1000 * seconds['total'][key]:>8.1f}" for key in ("median", "p90", "p99"))
        stages = " ".join(f"{1000 * seconds[stage]['median']:>11.2f}" for stage in STAGES)
        memory = " + ".join(f"{value / 1e6:.0f}" for value in record["peak_memory"].values() if value is not None)
        overlapped = record["overlapped_images_per_second"]
        lines.append(
            f"{record['name']:<{width}} {total} {stages} {record['images_per_second']:>9.1f} "
            f"{'-' if overlapped is None else f'{overlapped:.1f}':>10} {memory or '-':>8}  "
            f"{_ratio(record['speedup'])}"
        )
    return "\n".join(lines)


def operations_table(records: Sequence[dict[str, Any]]) -> str:
    """A line for each operation: milliseconds of both sides and their ratio."""
    lines = [f"{'operation':<32} {'image':>10} {'reference ms':>13} {'maskrt ms':>10}  faster by"]
    for record in records:
        height, width = record["image_size"]
        theirs, ours = (1000 * record[key]["median"] for key in ("reference_seconds", "seconds"))
        differing = f"; {record['differing']} results differ" if "differing" in record else ""
        lines.append(
            f"{record['operation']:<32} {height}x{width:<5} {theirs:>13.1f} {ours:>10.2f}  "
            f"{_ratio(record['ratio'])} than {record['reference']}{differing}"
        )
    return "\n".join(lines)


def _ratio(record: dict[str, Any]) -> Ratio:
    return Ratio(record["median"], record["least"], record["most"])
