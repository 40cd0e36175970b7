"""One operation of the runtime beside the function of another library that it replaces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from maskrt.evaluation.bench.timing import percentiles, ratio, seconds_in_turns


def compare_operation(
    operation: str,
    image_size: tuple[int, int],
    reference: tuple[str, Callable[[], object]],
    ours: Callable[[], object],
    repeats: int,
) -> dict[str, Any]:
    """Both sides in turns.

    Returns:
        `operation`; `image_size` (height, width); `reference`, the name of the other side; `reference_seconds` and
        `seconds` of a call (`median`, `p90`, `p99`); `ratio` (`median`, `least`, `most`), how many times faster ours
        is.
    """
    name, theirs = reference
    times = seconds_in_turns((theirs, ours), repeats)
    return {
        "operation": operation,
        "image_size": list(image_size),
        "reference": name,
        "reference_seconds": percentiles(times[:, 0]),
        "seconds": percentiles(times[:, 1]),
        "ratio": ratio(*times.T)._asdict(),
    }
