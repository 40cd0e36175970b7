import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import pytest

from maskrt.tools.cores import compare_two, main


def test_prints_a_ratio_for_each_step_and_leaves_opencv_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    threads = cv2.getNumThreads()
    assert main(["--repeats", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(", ")[:2] for line in lines] == [
        [size, step]
        for size in ("1080p", "4K")
        for step in ("resize to uint8", "resize to float32", "paste and encode 100 masks")
    ]
    assert all(line.count("x") >= 3 for line in lines)
    assert cv2.getNumThreads() == threads


def test_two_at_once_really_are() -> None:
    """Two that wait for each other end only if they run at the same time; one after the other each gives up."""
    met = []

    def meet(barrier: threading.Barrier) -> None:
        try:
            barrier.wait(timeout=0.2)
            met.append(True)
        except threading.BrokenBarrierError:
            barrier.reset()
            met.append(False)

    with ThreadPoolExecutor(2) as pool:
        barrier = threading.Barrier(2)
        compare_two([lambda: meet(barrier)] * 2, pool, repeats=1)
    assert met == [False, False, True, True] * 2
