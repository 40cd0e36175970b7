"""Order, overlap, bounds and endings of the pipeline: none of its tests depends on how fast the machine is."""

import ctypes
import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from maskrt.runtime.streaming.pipeline import Outcome, PipelineError, Stage, run_pipeline

PATIENCE = 60  # seconds until a test that hangs is given up


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def same(value: Any) -> Any:
    return value


def failing_on(bad: Any, error: BaseException) -> Callable[[Any], Any]:
    def function(value: Any) -> Any:
        if value == bad:
            raise error
        return value

    return function


@pytest.mark.parametrize("in_flight", [None, 1, 2, 50])
def test_every_item_goes_through_every_stage_in_order(in_flight: int | None) -> None:
    stages = [Stage("double", lambda value: 2 * value), Stage("text", str), Stage("exclaim", lambda text: text + "!")]
    outcomes = list(run_pipeline(range(100), stages, in_flight))
    assert [outcome.item for outcome in outcomes] == list(range(100))
    assert [outcome.value for outcome in outcomes] == [f"{2 * i}!" for i in range(100)]
    assert {outcome.error for outcome in outcomes} == {None}


def test_no_items() -> None:
    assert list(run_pipeline([], [Stage("same", same)])) == []


def test_stages_overlap() -> None:
    """The second stage waits on one item until the first has begun the next."""
    meeting = threading.Barrier(2, timeout=PATIENCE)

    def first(number: int) -> int:
        if number > 0:
            meeting.wait()
        return number

    def second(number: int) -> int:
        if number < 4:
            meeting.wait()
        return number

    outcomes = list(run_pipeline(range(5), [Stage("first", first), Stage("second", second)]))
    assert [outcome.error for outcome in outcomes] == [None] * 5


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("failing", [False, True])
def test_a_stage_with_several_workers_keeps_the_order(position: int, failing: bool) -> None:
    """They work at the same time, and an item that fails takes its place, too."""
    together = threading.Barrier(3)

    def meet(value: int) -> int:
        together.wait(60)
        time.sleep(0.002 * (value % 3 == 0))
        if failing and value % 5 == 0:
            raise ValueError(value)
        return value

    stages = [Stage("same", same), Stage("same", same), Stage("same", same)]
    stages[position] = Stage("meet", meet, workers=3)
    outcomes = list(run_pipeline(range(30), stages))
    assert [outcome.item for outcome in outcomes] == list(range(30))
    assert [outcome.item for outcome in outcomes if outcome.error is not None] == list(range(0, 30, 5)) * failing


def test_the_end_of_one_of_several_workers() -> None:
    """What came before its item is there; the others end, too."""

    def end(value: int) -> int:
        if value == 7:
            raise SystemExit
        return value

    stages = [Stage("same", same), Stage("end", end, workers=2), Stage("same", same, workers=2)]
    outcomes = run_pipeline(range(20), stages)
    done = [outcome for outcome in outcomes if outcome.error is None]
    assert [outcome.item for outcome in done] == [*range(7), *range(8, 20)]


@pytest.mark.parametrize("in_flight", [1, 3])
def test_the_source_is_never_far_ahead(in_flight: int) -> None:
    taken = 0

    def source() -> Iterator[int]:
        nonlocal taken
        for number in range(1, 31):
            taken = number
            yield number

    for consumed, _ in enumerate(run_pipeline(source(), [Stage("same", same)] * 3, in_flight)):
        time.sleep(0.002)  # time to run ahead
        assert taken <= consumed + in_flight


def test_nothing_starts_before_the_first_result_is_asked_for() -> None:
    asked = False

    def source() -> Iterator[int]:
        nonlocal asked
        asked = True
        yield 1

    outcomes = run_pipeline(source(), [Stage("same", same)])
    assert not asked
    assert len(list(outcomes)) == 1


@pytest.mark.parametrize(
    "error", [ValueError("no"), MemoryError(), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), StopIteration()]
)
@pytest.mark.parametrize("position", [0, 1, 2])
def test_an_item_that_fails_is_reported_and_the_rest_goes_on(error: BaseException, position: int) -> None:
    later: list[int] = []
    stages = [Stage("a", same), Stage("b", same), Stage("c", same), Stage("later", lambda v: later.append(v) or v)]
    stages[position] = Stage(stages[position].name, failing_on(3, error))
    outcomes = list(run_pipeline(range(6), stages))
    assert [outcome.item for outcome in outcomes] == list(range(6))
    assert [outcome.error for outcome in outcomes] == [None, None, None, error, None, None]
    assert outcomes[3].stage == "abc"[position]
    assert later == [0, 1, 2, 4, 5]
    failure = outcomes[3].failure()
    assert failure.__cause__ is error
    assert str(failure).startswith(f"The {'abc'[position]} stage failed: {type(error).__name__}")


def test_an_error_of_the_source_comes_after_the_items_before_it() -> None:
    def source() -> Iterator[int]:
        yield from range(7)
        raise OSError("the camera is gone")

    seen: list[int] = []
    with pytest.raises(OSError, match="the camera is gone"):
        seen.extend(outcome.item for outcome in run_pipeline(source(), [Stage("same", same)] * 2))
    assert seen == list(range(7))


def test_a_source_that_exits_does_not_end_the_program() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise SystemExit(0)

    with pytest.raises(PipelineError, match="SystemExit"):
        list(run_pipeline(source(), [Stage("same", same)]))


def test_a_consumer_that_leaves_stops_the_stages() -> None:
    done: list[int] = []
    with closing(run_pipeline(range(1000), [Stage("same", same), Stage("note", done.append)])) as outcomes:
        for outcome in outcomes:
            if outcome.item == 5:
                break
    assert len(done) < 20  # and no thread is left


def test_an_error_of_the_consumer_stops_the_stages() -> None:
    def consume() -> None:
        for outcome in run_pipeline(iter(range(1000)), [Stage("same", same)]):
            if outcome.item == 5:
                raise RuntimeError("full")

    with pytest.raises(RuntimeError, match="full"):
        consume()
    gc.collect()  # the traceback has held the iterator


def test_a_stage_in_the_middle_of_an_item_finishes_it() -> None:
    """What is being written when the run is broken off is written whole, and nothing behind it."""
    begun, finished = [], []
    going, closing_now = threading.Event(), threading.Event()

    def write(number: int) -> None:
        begun.append(number)
        if number == 1:
            going.set()
            assert closing_now.wait(PATIENCE)
            time.sleep(0.1)  # until the others have been told
        finished.append(number)

    outcomes = run_pipeline(range(100), [Stage("same", same), Stage("write", write)])
    next(outcomes)
    assert going.wait(PATIENCE)
    closing_now.set()
    outcomes.close()
    assert begun == finished == [0, 1]


@pytest.mark.parametrize("scenario", ["waiting", "consuming", "twice", "ending"])
def test_ctrl_c(scenario: str) -> None:
    """A real SIGINT: see ctrl_c.py, and there why in a process of its own."""
    script = Path(__file__).with_name("ctrl_c.py")
    ended = subprocess.run([sys.executable, script, scenario], capture_output=True, text=True, timeout=2 * PATIENCE)
    assert (ended.returncode, ended.stdout) == (0, "as expected\n"), ended.stderr


def kill(name: str) -> None:
    """Raise SystemExit in a thread from outside, wherever it is."""
    (thread,) = (thread for thread in threading.enumerate() if thread.name == name)
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)) == 1


@pytest.mark.parametrize("where", ["working", "waiting"])
@pytest.mark.parametrize("victim", ["first", "second", "last"])
def test_a_killed_worker_loses_nothing_silently(where: str, victim: str) -> None:
    """Its item is reported and the rest goes on, or the run ends with an error behind all that passed it."""
    at_work, killed, through = threading.Event(), threading.Event(), threading.Event()

    def function(number: int) -> int:
        if number == 4 and threading.current_thread().name == "last":
            through.set()
        if where == "working" and number == 5 and threading.current_thread().name == victim:
            at_work.set()
            while not killed.is_set():
                time.sleep(0.001)  # Python code, so that the exception arrives
            time.sleep(0.01)
        return number

    def source() -> Iterator[int]:
        for number in range(12):
            if number == 5 and where == "waiting":
                assert through.wait(PATIENCE)
                time.sleep(0.02)  # until the last worker, too, has nothing to do
                kill(victim)
            yield number

    def assassin() -> None:
        if at_work.wait(PATIENCE):
            kill(victim)
            killed.set()

    thread = threading.Thread(target=assassin)
    if where == "working":
        thread.start()
    outcomes: list[Outcome[int]] = []
    error = None
    try:
        outcomes.extend(run_pipeline(source(), [Stage(name, function) for name in ("first", "second", "last")]))
    except PipelineError as caught:
        error = caught
    if where == "working":
        thread.join()
    assert [outcome.item for outcome in outcomes] == list(range(len(outcomes)))
    failed = [outcome.item for outcome in outcomes if outcome.error is not None]
    if error is None:
        assert len(outcomes) == 12
        assert failed == [5]
        assert isinstance(outcomes[5].error, SystemExit)
    else:
        assert f"The thread of the {victim} stage was ended: SystemExit" in str(error)
        assert len(outcomes) >= (5 if where == "working" else 4)  # what had passed it


def test_items_are_let_go_of() -> None:
    """Of images that the consumer has done with, none is kept by a thread that waits for the next."""

    class Image:
        pass

    alive: weakref.WeakSet[Image] = weakref.WeakSet()
    left = []

    def source() -> Iterator[Image]:
        for _ in range(5):
            deadline = time.monotonic() + 10
            while alive and time.monotonic() < deadline:  # the consumer may be quicker than the threads
                time.sleep(0.001)
            left.append(len(alive))
            image = Image()
            alive.add(image)
            yield image
            del image

    outcomes = run_pipeline(source(), [Stage("same", same), Stage("hide", lambda _: None)], in_flight=1)
    while next(outcomes, None) is not None:
        pass
    assert left == [0] * 5


def test_threads_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "second":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        list(run_pipeline(range(5), [Stage("first", same), Stage("second", same)]))
