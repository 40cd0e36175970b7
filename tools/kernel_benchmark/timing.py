"""Timing calls on a GPU: its own time, without the time that the CPU takes to launch.

A launch takes 5 to 10 us, a call from Python some 100: as long as a kernel. A replay of a CUDA graph that holds a call
many times over has one launch for all of them; and where a call cannot be captured, the stream is held back until
everything is queued.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import torch

REPEATS = 30
WARM_UPS = 5
CALLS_PER_GRAPH = 20
_HOLD_CYCLES = 4_000_000
"""Clock cycles for which the stream is held: some 2 ms, in which a call is queued."""


def compare(
    ours: Callable[[], Any], theirs: Callable[[], Any] | Mapping[str, Callable[[], Any]], calls: int
) -> dict[str, Any]:
    """Time both functions, each of which makes `calls` calls, and say how many times faster ours is.

    torchvision's operators read sizes back to the host, so that no CUDA graph can hold them. It is not tried: a capture
    that fails leaves torch's allocator in the middle of it.

    Args:
        ours: queues the kernels.
        theirs: what torchvision does, or several ways of it by name, of which the fastest counts.
        calls: what a time is divided by.

    Returns:
        Medians in microseconds, of one call, their spread, and the ratio. `ours_us` and `theirs_us` are the GPU's time,
        `ours_with_python_us` is that of a call from an idle Python.
    """
    variants = theirs if isinstance(theirs, Mapping) else {"torchvision": theirs}
    mine = median_and_spread(graph_of(ours).replay, CALLS_PER_GRAPH * calls)
    others = {name: median_and_spread(function, calls, hold=True) for name, function in variants.items()}
    best = min(others, key=lambda name: others[name]["median"])
    return {
        "ours_us": mine,
        "ours_with_python_us": median_and_spread(ours, calls),
        "theirs_us": others,
        "fastest_of_theirs": best,
        "speedup": others[best]["median"] / mine["median"],
    }


def graph_of(function: Callable[[], Any]) -> torch.cuda.CUDAGraph:
    """Capture a call so many times over."""
    function()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(CALLS_PER_GRAPH):
            function()
    return graph


def median_and_spread(function: Callable[[], Any], calls: int = 1, *, hold: bool = False) -> dict[str, float]:
    """Time a call by CUDA events around it.

    Args:
        function: the call.
        calls: what its time is divided by.
        hold: hold the stream back until the call is queued.

    Returns:
        Microseconds: the median, and the first and last decile, whose distance is the noise.
    """
    for _ in range(WARM_UPS):
        function()
    times = []
    for _ in range(REPEATS):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        if hold:
            torch.cuda._sleep(_HOLD_CYCLES)
        start.record()
        function()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1e3 / calls)
    deciles = statistics.quantiles(times, n=10)
    return {"median": statistics.median(times), "p10": deciles[0], "p90": deciles[-1]}


def kernel_times(function: Callable[[], Any], most: int = 25) -> dict[str, float]:
    """Time the kernels of a call by the profiler.

    Returns:
        Microseconds by the kernel's name, the longest first, at most so many.
    """
    function()
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        function()
        torch.cuda.synchronize()
    times: defaultdict[str, float] = defaultdict(float)
    for event in profile.events() or ():
        if event.device_type == torch.autograd.DeviceType.CUDA:
            times[event.name[:120]] += event.time_range.elapsed_us()
    longest = sorted(times.items(), key=lambda item: -item[1])[:most]
    return {name: round(microseconds, 1) for name, microseconds in longest}


def wait_until_warm(seconds: float = 1.0) -> None:
    """Keep the GPU at work until its clocks have risen."""
    matrix = torch.randn(2048, 2048, device="cuda")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for _ in range(20):
            matrix = (matrix @ matrix).clamp(-1, 1)
        torch.cuda.synchronize()
