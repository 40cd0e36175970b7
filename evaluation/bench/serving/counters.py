"""What `maskrt serve` has counted between two moments, from its metrics; see `runtime/serving/metrics.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping

Counters = Mapping[str, float]
"""The values of the metrics by their names, labels included; none where the server has no such metrics."""

_RESIDENT = "process_resident_memory_bytes"


def batches(before: Counters, after: Counters) -> dict[str, int]:
    """Count the runs of the model by how many pictures they had, from the buckets of a histogram: cumulative ones."""
    limits = re.findall(r'maskrt_batch_size_bucket\{le="(\d+)\.0"\}', "\n".join(after))
    counts, below = {}, 0.0
    for limit in sorted(limits, key=int):
        name = f'maskrt_batch_size_bucket{{le="{limit}.0"}}'
        reached = after[name] - before.get(name, 0.0)
        counts[limit] = round(reached - below)
        below = reached
    return counts


def mean_queue_seconds(before: Counters, after: Counters) -> float | None:
    """Compute how long a picture waited for the model; None: the server does not say."""
    total, count = (
        after.get(name, 0.0) - before.get(name, 0.0)
        for name in (f'maskrt_stage_seconds_{end}{{stage="queue"}}' for end in ("sum", "count"))
    )
    return total / count if count else None


def resident_bytes(counters: Counters) -> int | None:
    """Return the memory that the server's process has resident; None: it does not say."""
    return round(counters[_RESIDENT]) if _RESIDENT in counters else None
