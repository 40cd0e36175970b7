"""The whole pipeline, from image files to encoded masks: every side on the same batches, in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from maskrt.errors import MaskrtError
from maskrt.evaluation.bench.memory import peak_memory
from maskrt.evaluation.bench.sides import Side
from maskrt.evaluation.bench.timing import percentiles, ratio, stage_seconds_in_turns
from maskrt.evaluation.results.bench import STAGES, Failure, PipelineRecord, Speedup, StageSeconds


def measure_pipeline(
    openers: Sequence[Callable[[], Side]],
    sides: Sequence[Side],
    batches: Sequence[Sequence[Path]],
    repeats: int,
    warm_up: int,
    picture_size: tuple[int, int] | None = None,
) -> tuple[list[PipelineRecord], list[Failure]]:
    """Measure time and memory of each side.

    Args:
        openers: make the sides again, in the process that measures memory; in the order of `sides`.
        sides: the first one that works is the reference of the speed-ups.
        batches: of image files, of one size.
        repeats: turns with a stopwatch; see `timing.stage_seconds_in_turns`.
        warm_up: turns before them, without.
        picture_size: (height, width) that the pictures were stretched to, for the record; None: as they are.

    Returns:
        A record for each side that works, and why each other one cannot run such a batch.
    """
    batch = len(batches[0])
    working, failed = [], []
    for opener, side in zip(openers, sides, strict=True):
        try:
            found = [len(instances) for files in batches for instances in side.run(files)]
            memory = peak_memory(opener, batches)
        except (MaskrtError, MemoryError) as error:
            failed.append(Failure(side.name, batch, picture_size, str(error)))
        else:
            working.append((side, sum(found) / len(found), memory))
    if not working:
        return [], failed

    seconds = stage_seconds_in_turns([side.stages for side, _, _ in working], batches, repeats, warm_up)
    totals = seconds.sum(axis=2)
    records = []
    for i, (side, detections, memory) in enumerate(working):
        of_stages = {stage: percentiles(seconds[:, i, number]) for number, stage in enumerate(STAGES)}
        total = percentiles(totals[:, i])
        records.append(
            PipelineRecord(
                name=side.name,
                precision=side.precision,
                backend=side.backend,
                batch=batch,
                picture_size=picture_size,
                detections_per_image=detections,
                seconds=StageSeconds(**of_stages, total=total),
                images_per_second=batch / total.median,
                overlapped_images_per_second=_overlapped(side, batches, repeats),
                speedup=Speedup(**asdict(ratio(totals[:, 0], totals[:, i])), reference=working[0][0].name),
                peak_memory=memory,
            )
        )
    return records, failed


def _overlapped(side: Side, batches: Sequence[Sequence[Path]], turns: int) -> float | None:
    """Measure the images per second of a side that can work on several batches at once, over that many batches."""
    if side.stream is None:
        return None
    files = [file for turn in range(turns) for file in batches[turn % len(batches)]]
    start = time.perf_counter()
    side.stream(files, len(batches[0]))
    return len(files) / (time.perf_counter() - start)
