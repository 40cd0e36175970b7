"""Where the time of a run goes."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Adds up the wall time of named stages."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time inside the `with` block towards a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - start

    def table(self, images: int) -> str:
        """A line per stage, in order of first use: milliseconds per image and share of the sum."""
        total = sum(self._seconds.values())
        lines = [f"{'stage':<12} {'ms/image':>9} {'share':>6}"]
        lines += [
            f"{name:<12} {1000 * seconds / max(images, 1):>9.1f} {seconds / max(total, 1e-9):>6.0%}"
            for name, seconds in self._seconds.items()
        ]
        return "\n".join(lines)
