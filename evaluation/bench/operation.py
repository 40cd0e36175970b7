"""One operation of the runtime beside the function of another library that it replaces."""

from __future__ import annotations

from collections.abc import Callable

from maskrt.evaluation.bench.timing import percentiles, ratio, seconds_in_turns
from maskrt.evaluation.results.bench import OperationRecord


def compare_operation(
    operation: str,
    image_size: tuple[int, int],
    reference: tuple[str, Callable[[], object]],
    ours: Callable[[], object],
    repeats: int,
) -> OperationRecord:
    """Time both sides in turns; `reference` is the other side's name and what it does."""
    name, theirs = reference
    times = seconds_in_turns((theirs, ours), repeats)
    return OperationRecord(
        operation=operation,
        image_size=image_size,
        reference=name,
        reference_seconds=percentiles(times[:, 0]),
        seconds=percentiles(times[:, 1]),
        ratio=ratio(*times.T),
    )
