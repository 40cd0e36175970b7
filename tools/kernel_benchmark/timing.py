"""Timing calls on a GPU."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch

REPEATS = 50
WARM_UPS = 10


def compare(ours: Callable[[], Any], theirs: Callable[[], Any], calls: int) -> dict[str, Any]:
    """Time both functions, each of which makes `calls` calls, and say how many times faster ours is.

    torchvision's operators read sizes back to the host, so that no CUDA graph can hold them. It is not tried: a capture
    that fails leaves torch's allocator in the middle of it.

    Returns:
        Medians in microseconds, of one call, and their ratios.
    """
    eager, theirs_eager, graph = time_eager(ours) / calls, time_eager(theirs) / calls, time_graph(ours) / calls
    return {
        "eager_us": eager,
        "graph_us": graph,
        "torchvision_eager_us": theirs_eager,
        "eager_speedup": theirs_eager / eager,
        "graph_speedup_over_torchvision_eager": theirs_eager / graph,
    }


def time_eager(function: Callable[[], Any]) -> float:
    """Return the median microseconds of a call, by CUDA events around it."""
    for _ in range(WARM_UPS):
        function()
    times = []
    for _ in range(REPEATS):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        function()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1e3)
    return statistics.median(times)


def time_graph(function: Callable[[], Any]) -> float:
    """Return the same for a replay of its CUDA graph."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return time_eager(graph.replay)
