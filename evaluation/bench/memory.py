"""Peak memory of one side, measured in a process of its own, where no other side's memory counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from maskrt.errors import MaskrtError
from maskrt.evaluation.bench.sides import Side
from maskrt.evaluation.results.bench import PeakMemory
from maskrt.runtime.cuda.device import Gpu


def peak_memory(open_side: Callable[[], Side], batches: Sequence[Sequence[Path]]) -> PeakMemory:
    """Open a side and run it on the batches, in a new process.

    Args:
        open_side: can be pickled, for example a `functools.partial` of a function of a module.
        batches: of image files.

    Raises:
        MemoryError: the process was killed, most often for want of memory.
    """
    # A forked process would begin with this one's memory.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(_run, open_side, batches).result()
        except BrokenProcessPool:
            raise MemoryError("the process that measures memory was killed") from None


def _run(open_side: Callable[[], Side], batches: Sequence[Sequence[Path]]) -> PeakMemory:
    free_before = _free_device_bytes()
    side = open_side()
    for files in batches:
        side.run(files)
    free = _free_device_bytes()
    return PeakMemory(
        host=_peak_resident_bytes(),
        device=None if free is None or free_before is None else free_before - free,
    )


def _peak_resident_bytes() -> int | None:
    """Of this process, from /proc: `ru_maxrss` would be no less than its parent's when it was started."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)


def _free_device_bytes() -> int | None:
    """Of the current GPU; the first call makes the CUDA context, which therefore does not count."""
    try:
        free, total = Gpu().free_memory()
    except MaskrtError:  # no GPU, no driver, or no bindings
        return None
    return free if total else None
