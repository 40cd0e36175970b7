"""Pipelines that get a real SIGINT, each in a process of its own: `python ctrl_c.py SCENARIO`.

A signal goes to the process, whoever sends it, and its exception is raised in the main thread wherever that is. In a
worker of a parallel test run that may be outside of the test: in the worker's own loop, which ends at that.
"""

import os
import signal
import sys
import threading
import time

from maskrt.runtime.streaming.pipeline import Stage, run_pipeline

PATIENCE = 60


def same(value: int) -> int:
    return value


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def waiting() -> None:
    """While the main thread waits for an outcome."""
    received = 0

    def infer(number: int) -> int:
        if number == 3:
            interrupt()
            time.sleep(0.1)
        return number

    try:
        for outcome in run_pipeline(range(1000), [Stage("same", same), Stage("infer", infer)]):
            received = outcome.item
    except KeyboardInterrupt:
        assert received <= 3, received
    else:
        raise AssertionError("not interrupted")


def consuming() -> None:
    """While it works on one."""
    received = 0
    try:
        for outcome in run_pipeline(range(1000), [Stage("same", same), Stage("infer", same)]):
            received = outcome.item
            if received == 3:
                interrupt()
                time.sleep(0.1)
    except KeyboardInterrupt:
        assert received == 3, received
    else:
        raise AssertionError("not interrupted")


def twice() -> None:
    """The item in hand is waited for: its stage may be using what the caller is about to close."""
    finished = []

    def write(number: int) -> None:
        interrupt()
        time.sleep(0.2)
        interrupt()
        time.sleep(0.2)
        finished.append(number)

    try:
        list(run_pipeline(range(5), [Stage("write", write)]))
    except KeyboardInterrupt:
        assert finished == [0], finished
    else:
        raise AssertionError("not interrupted")


def ending() -> None:
    """While the threads end: it is not lost."""
    closing_now = threading.Event()
    finished = []

    def write(number: int) -> None:
        if number == 1:
            assert closing_now.wait(PATIENCE)
            time.sleep(0.1)  # the main thread waits for this one
            interrupt()
            time.sleep(0.1)
        finished.append(number)

    outcomes = run_pipeline(range(5), [Stage("write", write)])
    next(outcomes)
    closing_now.set()
    try:
        outcomes.close()
    except KeyboardInterrupt:
        assert finished == [0, 1], finished
    else:
        raise AssertionError("not interrupted")


SCENARIOS = {"waiting": waiting, "consuming": consuming, "twice": twice, "ending": ending}

if __name__ == "__main__":
    # A shell has the commands that it starts in the background ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    SCENARIOS[sys.argv[1]]()
    assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
    print("as expected")
