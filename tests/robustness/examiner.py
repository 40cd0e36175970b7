"""Opens possibly damaged files in another process, so that a crash or a hang is seen and put down to its file."""

import json
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

SECONDS = 10
"""Of processor time: on a busy machine the clock on the wall says little."""
MEGABYTES = 2048
WAITING_SECONDS = 120
"""On the wall: for what waits without working."""


@dataclass(frozen=True)
class Finding:
    """What came of one file: "result", "refused", or, all wrong, "fault", "crash", "hang", "memory"."""

    outcome: str
    message: str = ""
    fingerprint: str = ""


class Examiner:
    """A worker process that is started again whenever a file has brought it down."""

    def __init__(self) -> None:
        self._worker: subprocess.Popen[str] | None = None
        self.peak_mb = 0

    def __enter__(self) -> "Examiner":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def examine(self, kind: str, path: Path) -> Finding:
        """Opens a file as "image", "model", "engine", "checkpoint", "config" or "misbehave"; see `worker`."""
        if self._worker is None:
            self._worker = _start()
        worker = self._worker
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(f"{kind}\t{path}\n")
        worker.stdin.flush()
        if not _answers_in_time(worker):
            self._stop()
            return Finding("hang", f"no answer within {SECONDS} s of processor time, or {WAITING_SECONDS} s")
        line = worker.stdout.readline()
        if not line:
            status = worker.wait()
            self._stop()
            return Finding("crash", f"exit status {status}")
        answer = json.loads(line)
        peak = answer.pop("peak_mb")
        self.peak_mb = max(self.peak_mb, peak)
        if peak > MEGABYTES:
            self._stop()  # the peak of a process never falls again
            return Finding("memory", f"{peak} MB")
        return Finding(**answer)

    def _stop(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker.communicate()
            self._worker = None


def _answers_in_time(worker: subprocess.Popen[str]) -> bool:
    started, worked = time.monotonic(), _processor_seconds(worker.pid)
    while not select.select([worker.stdout], [], [], 1)[0]:
        if _processor_seconds(worker.pid) - worked > SECONDS or time.monotonic() - started > WAITING_SECONDS:
            return False
    return True


def _processor_seconds(pid: int) -> float:
    """What a process has used so far, in user and in kernel mode; proc(5), fields 14 and 15."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _start() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("worker.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # decoders complain there
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
