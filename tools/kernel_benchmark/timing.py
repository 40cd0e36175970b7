"""Timing calls on a GPU, and the boxes to call with. Needs torch."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch

REPEATS = 50
WARM_UPS = 10


def random_boxes(generator: torch.Generator, count: int, image_size: tuple[int, int]) -> torch.Tensor:
    """[count, 4] float32 xyxy inside the image, sides of 16 to 870 pixels (the image's at most), small ones more often.

    Args:
        image_size: (height, width).
    """
    size = 16 * torch.exp(torch.rand(count, 2, device="cuda", generator=generator) * 4)
    limit = torch.tensor(image_size[::-1], device="cuda")
    size = torch.minimum(size, limit)
    start = torch.rand(count, 2, device="cuda", generator=generator) * (limit - size)
    return torch.cat([start, start + size], 1)


def compare(ours: Callable[[], Any], theirs: Callable[[], Any], calls: int) -> dict[str, Any]:
    """Median microseconds of one of the `calls` calls that each function makes, and how many times faster ours is.

    torchvision's operators read sizes back to the host, so that no CUDA graph can hold them. It is not tried: a capture
    that fails leaves torch's allocator in the middle of it.
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
    """Median microseconds of a call, by CUDA events around it."""
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
    """The same for a replay of its CUDA graph."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return time_eager(graph.replay)
