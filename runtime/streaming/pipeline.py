"""Stages that work at the same time on successive items, each in a thread of its own.

    for outcome in run_pipeline(files, [Stage("decode", decode), Stage("infer", infer)]):
        ...  # in the order of the files, while the next ones are decoded and inferred

NumPy, OpenCV, ONNX Runtime, TensorRT and FFmpeg let go of Python's lock while they work, so stages that spend their
time in them overlap on several cores.

Memory is bounded by the number of items on their way from the source to the consumer: one more is let in when the
consumer comes back for the next. The queues between the stages therefore need no limit of their own, no thread ever
waits to put something down, and every wait ends when something is put into the queue: there is no lock that an
interrupted or failing thread could leave taken.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, cycle, pairwise
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, NamedTuple, TypeVar

Item = TypeVar("Item")


class PipelineError(RuntimeError):
    """A stage or a thread of a pipeline ended in a way that nobody planned for; `__cause__` says in which."""


class Stage(NamedTuple):
    """A step of the work: `function` takes the result of the stage before it and returns its own.

    `workers` items are worked on at the same time, each in a thread of its own. They leave the stage in their order. Of
    two neighbouring stages with more than one worker, both have the same number.
    """

    name: str
    function: Callable[[Any], Any]
    workers: int = 1


@dataclass
class Outcome(Generic[Item]):
    """What became of an item.

    Attributes:
        item: as the source gave it.
        value: the result of the last stage; of the last that succeeded, if there is an error.
        error: what a stage raised, whatever it was; the stages behind it left the item alone.
        stage: the name of the stage that raised it.
    """

    item: Item
    value: Any
    error: BaseException | None = None
    stage: str = ""

    def failure(self) -> PipelineError:
        """Return the error of an outcome that has one, for a consumer that cannot go on."""
        return _explained(f"The {self.stage} stage failed", self.error)


class _End(NamedTuple):
    """Behind the last item; `error` says why, if that is not the end of the source."""

    error: Exception | None = None


def run_pipeline(
    source: Iterable[Item], stages: Sequence[Stage], in_flight: int | None = None
) -> Generator[Outcome[Item]]:
    """Send items through stages that overlap.

    Threads start with the first `next` and have ended when the iterator is exhausted, closed, or has raised: after
    Ctrl-C, or an error of the consumer, each finishes the item in hand and begins no other.

    Args:
        source: gives the items; iterated in a thread of its own, never further ahead than `in_flight` allows.
        stages: at least one.
        in_flight: how many items may be on their way, including the one that the consumer has. None: one for each
            worker, and one to spare.

    Yields:
        An outcome for each item, in the order of the source.

    Raises:
        Exception: what the source raised, after the outcomes of all items before it.
        PipelineError: a thread was ended (by `SystemExit`, say), after the outcomes of all items that had passed it.
    """
    return _Pipeline(source, stages, in_flight or sum(stage.workers for stage in stages) + 1).outcomes()


class _Pipeline(Generic[Item]):
    def __init__(self, source: Iterable[Item], stages: Sequence[Stage], in_flight: int) -> None:
        self._source = source
        self._slots: SimpleQueue[None] = SimpleQueue()  # what lets an item in
        # Between two stages, a queue for each worker. They take turns, which keeps the order.
        workers = [1, *(stage.workers for stage in stages), 1]
        self._queues: list[list[SimpleQueue[Outcome[Item] | _End]]] = [
            [SimpleQueue() for _ in range(max(pair))] for pair in pairwise(workers)
        ]
        self._stopped = False
        for _ in range(in_flight):
            self._slots.put(None)
        self._threads = [self._thread("source", self._feed)]
        for stage, inlets, outlets in zip(stages, self._queues[:-1], self._queues[1:], strict=True):
            for i in range(stage.workers):
                mine = slice(None) if stage.workers == 1 else slice(i, i + 1)
                work = partial(self._work, stage, inlets[mine], outlets[mine])
                self._threads.append(self._thread(stage.name, work))
        self._running: set[Thread] = set()
        self._ended: SimpleQueue[None] = SimpleQueue()  # gets an entry when a thread has left `_running`

    def _thread(self, name: str, function: Callable[[], None]) -> Thread:
        def run() -> None:
            try:
                function()
            finally:
                self._running.discard(thread)
                self._ended.put(None)

        thread = Thread(target=run, name=name, daemon=True)
        return thread

    def outcomes(self) -> Generator[Outcome[Item]]:
        try:
            for thread in self._threads:
                self._start(thread)
            turns = cycle(self._queues[-1])
            while isinstance(entry := next(turns).get(), Outcome):
                yield entry
                del entry  # it is let go of before another is let in
                self._slots.put(None)
            if entry.error is not None:
                raise entry.error
        finally:
            self._stopped = True
            self._slots.put(None)
            for queue in chain(*self._queues):
                queue.put(_End())
            self._wait()

    def _start(self, thread: Thread) -> None:
        self._running.add(thread)
        try:
            thread.start()
        except BaseException:
            if thread.ident is None:
                self._running.discard(thread)
            raise

    def _wait(self) -> None:
        """Until all threads have ended. Another Ctrl-C is kept for then: what they work on is still in use."""
        interruption = None
        while self._running:
            try:
                self._ended.get()
            except KeyboardInterrupt as error:
                interruption = error
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        if interruption is not None:
            raise interruption

    def _feed(self) -> None:
        entry: Outcome[Item] | _End
        turns = cycle(self._queues[0])
        try:
            items = iter(self._source)
            while True:
                self._slots.get()
                if self._stopped:
                    break
                next(turns).put(Outcome(item := next(items), item))
                del item
            entry = _End()
        except StopIteration:
            entry = _End()
        except Exception as error:
            entry = _End(error)
        except BaseException as error:
            entry = _End(_explained("The source of the pipeline was ended", error))
        for queue in self._queues[0]:
            queue.put(entry)

    def _work(
        self,
        stage: Stage,
        inlets: "Sequence[SimpleQueue[Outcome[Item] | _End]]",
        outlets: "Sequence[SimpleQueue[Outcome[Item] | _End]]",
    ) -> None:
        inlet_turns, outlet_turns = cycle(inlets), cycle(outlets)
        try:
            while isinstance(entry := next(inlet_turns).get(), Outcome) and not self._stopped:
                if entry.error is None:
                    _apply(stage, entry)
                next(outlet_turns).put(entry)
                del entry  # waiting for the next item keeps none alive
            end = entry if isinstance(entry, _End) else _End()
        except BaseException as error:
            end = _End(_explained(f"The thread of the {stage.name} stage was ended", error))
        for outlet in outlets:
            outlet.put(end)


def _apply(stage: Stage, outcome: Outcome[Any]) -> None:
    try:
        outcome.value = stage.function(outcome.value)
    except BaseException as error:
        outcome.error, outcome.stage = error, stage.name


def _explained(what: str, cause: BaseException | None) -> PipelineError:
    error = PipelineError(f"{what}: {type(cause).__name__} {cause}".rstrip())
    error.__cause__ = cause
    return error
