"""Work that comes piece by piece from many sides, done several pieces at a time."""

import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(eq=False)
class _Entry(Generic[Item]):
    key: Hashable
    item: Item
    future: "Future[Any]" = field(default_factory=Future)
    arrived: float = field(default_factory=time.monotonic)


class Batcher(Generic[Item, Result]):
    """Runs items of one key together, the oldest first.

    A run takes what is waiting. While it goes on, the next items come in: under load batches fill by themselves, and
    an item that finds the model idle waits `delay` for others, no longer.

    Args:
        run: does the work: a result, or the error, for each item. Called by `workers` threads.
        size: items in a run at the most.
        delay: seconds that the oldest item waits until its batch is full.
        workers: runs at the same time.
    """

    def __init__(
        self, run: Callable[[Sequence[Item]], Sequence[Result | Exception]], *, size: int, delay: float, workers: int
    ) -> None:
        self._run, self._size, self._delay = run, size, delay
        self._waiting: deque[_Entry[Item]] = deque()
        self._changed = Condition()
        self._closed = False
        self._threads = [Thread(target=self._work, name=f"batch-{number}", daemon=True) for number in range(workers)]
        for thread in self._threads:
            thread.start()

    def submit(self, key: Hashable, item: Item) -> "Future[Result]":
        """Add an item, which may be run together with others of its key. One that is cancelled in time is not run.

        Raises:
            RuntimeError: the batcher is closed.
        """
        entry = _Entry(key, item)
        with self._changed:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            self._waiting.append(entry)
            self._changed.notify_all()
        return entry.future

    def close(self) -> None:
        """Finish what was submitted, and end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while batch := self._next():
            try:
                results = self._run([entry.item for entry in batch])
            except BaseException as error:  # whatever it is, somebody waits for it
                results = [error] * len(batch)  # type: ignore[list-item]
            for entry, result in zip(batch, results, strict=True):
                if isinstance(result, BaseException):
                    entry.future.set_exception(result)
                else:
                    entry.future.set_result(result)
            del batch, results, entry, result  # waiting for the next keeps none alive

    def _next(self) -> list[_Entry[Item]]:
        """Wait for a batch; empty: there is none any more."""
        with self._changed:
            while True:
                batch = self._take()
                if batch:
                    return batch
                if self._closed and not self._waiting:
                    return []
                self._changed.wait(self._patience())

    def _take(self) -> list[_Entry[Item]]:
        """Take the oldest item and others of its key, unless it may still wait for more."""
        self._drop_cancelled()
        if not self._waiting:
            return []
        oldest = self._waiting[0]
        batch = [entry for entry in self._waiting if entry.key == oldest.key][: self._size]
        if len(batch) < self._size and not self._closed and time.monotonic() < oldest.arrived + self._delay:
            return []
        taken = [entry for entry in batch if entry.future.set_running_or_notify_cancel()]
        chosen = set(map(id, batch))
        self._waiting = deque(entry for entry in self._waiting if id(entry) not in chosen)
        return taken

    def _drop_cancelled(self) -> None:
        self._waiting = deque(entry for entry in self._waiting if not entry.future.cancelled())

    def _patience(self) -> float | None:
        """Seconds until the oldest item waits no longer; None: there is none."""
        if not self._waiting:
            return None
        return max(self._waiting[0].arrived + self._delay - time.monotonic(), 0.0)
