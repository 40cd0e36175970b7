"""The benchmark's records as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from maskrt.evaluation.results.bench import STAGES, OperationRecord, PipelineRecord, ServingRecord
from maskrt.terminal import printable


def pipeline_table(records: Sequence[PipelineRecord]) -> list[str]:
    """Show a line for each side: milliseconds of a batch, of its stages, images per second, speed-up and memory."""
    width = max(len(printable(record.name)) for record in records)
    stages = " ".join(f"{stage:>11}" for stage in STAGES)
    totals = " ".join(f"{key:>8}" for key in ("median", "p90", "p99"))
    header = f"{'ms':<{width}} {totals} {stages} {'images/s':>9} {'overlapped':>10} {'peak MB':>8}  faster by"
    lines = [header]
    for record in records:
        seconds = record.seconds
        total = " ".join(f"{1000 * s:>8.1f}" for s in (seconds.total.median, seconds.total.p90, seconds.total.p99))
        stages = " ".join(f"{1000 * getattr(seconds, stage).median:>11.2f}" for stage in STAGES)
        peaks = (record.peak_memory.host, record.peak_memory.device)
        memory = " + ".join(f"{value / 1e6:.0f}" for value in peaks if value is not None)
        overlapped = record.overlapped_images_per_second
        lines.append(
            f"{printable(record.name):<{width}} {total} {stages} {record.images_per_second:>9.1f} "
            f"{'-' if overlapped is None else f'{overlapped:.1f}':>10} {memory or '-':>8}  {record.speedup}"
        )
    return lines


def operations_table(records: Sequence[OperationRecord]) -> list[str]:
    """Show a line for each operation: milliseconds of both sides and their ratio."""
    lines = [f"{'operation':<32} {'image':>10} {'reference ms':>13} {'maskrt ms':>10}  faster by"]
    for record in records:
        height, width = record.image_size
        theirs, ours = 1000 * record.reference_seconds.median, 1000 * record.seconds.median
        differing = "" if record.differing is None else f"; {record.differing} results differ"
        lines.append(
            f"{record.operation:<32} {height}x{width:<5} {theirs:>13.1f} {ours:>10.2f}  "
            f"{record.ratio} than {record.reference}{differing}"
        )
    return lines


def serving_table(records: Sequence[ServingRecord]) -> list[str]:
    """Show a line for each load: answers, refusals, milliseconds of an answer, and how batches were filled."""
    headings = ("answers/s", "sent", "busy", "failed", "lost", "mixed up", "median ms", "p90 ms", "p99 ms", "queue ms")
    lines = [" ".join(["load        ", *(f"{heading:>9}" for heading in headings)]) + "  runs"]
    for record in records:
        seconds, queue = record.seconds, record.queue_seconds
        cells = [f"{record.answers_per_second:.1f}"]
        cells += map(str, (record.sent, record.busy, record.failed, record.lost, record.mixed_up))
        cells += [f"{1000 * value:.1f}" for value in (seconds.median, seconds.p90, seconds.p99)]
        cells.append("-" if queue is None else f"{1000 * queue:.1f}")
        runs = ", ".join(f"{count} of {size}" for size, count in record.batches.items() if count)
        lines.append(" ".join([f"{_load_of(record):<12}", *(f"{cell:>9}" for cell in cells)]) + f"  {runs}")
    return lines + [line for record in records for line in _notes(record)]


def _load_of(record: ServingRecord) -> str:
    return f"{record.rate:.4g}/s" if record.clients is None else f"{record.clients} clients"


def _notes(record: ServingRecord) -> list[str]:
    notes = []
    if record.deviating:
        notes.append(f"{record.deviating} answers deviate from those to the pictures alone, in some bits.")
    if record.memory is not None:
        before, after = (f"{size / 1e6:.1f} MB" for size in (record.memory.before, record.memory.after))
        notes.append(f"The server's memory went from {before} to {after} ({100 * record.memory.growth:+.2f} %).")
    notes += [
        f"Segmenter.stream, batch {stream.batch}: {stream.images_per_second:.3g} images/s; the server {stream.ratio}."
        for stream in record.streams
    ]
    return [f"{_load_of(record)}: {note}" for note in notes]
