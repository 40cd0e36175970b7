"""Where the time of a run goes, and how fast it is."""

import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class Stopwatch:
    """Adds up the wall time of named stages, each of which may run in one thread of its own or several."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time inside the `with` block towards a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - start
            with self._lock:
                self._seconds[name] += seconds

    @property
    def seconds(self) -> dict[str, float]:
        """The wall time of each stage, in order of first use."""
        return dict(self._seconds)

    def table(self, images: int) -> str:
        """Write a line per stage, in order of first use: milliseconds per image and share of the sum.

        Stages that overlap add up to more than the run took.
        """
        total = sum(self._seconds.values())
        lines = [f"{'stage':<12} {'ms/image':>9} {'share':>6}"]
        lines += [
            f"{name:<12} {1000 * seconds / max(images, 1):>9.1f} {seconds / max(total, 1e-9):>6.0%}"
            for name, seconds in self._seconds.items()
        ]
        return "\n".join(lines)


class FrameRate:
    """How many frames a second are done, over the last `window` of them."""

    def __init__(self, window: int = 30) -> None:
        self._times: deque[float] = deque(maxlen=window + 1)

    def tick(self) -> float:
        """Count one more; return the rate now, in frames per second, 0 before there are two."""
        self._times.append(time.perf_counter())
        duration = self._times[-1] - self._times[0]
        return (len(self._times) - 1) / duration if duration > 0 else 0.0
