"""A plugin of pytest that tells another process of each test's outcome as soon as it is there.

The lines that pytest prints are for people: what stands in them hangs on its version, and on the folder it starts in.
"""

from __future__ import annotations

import json
import os

import pytest

# The environment variable with the number of an open file, to which a line of JSON is written for each outcome.
OUTCOMES = "MASKRT_GPU_CHECK_OUTCOMES"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Tell of a test: once where it passes, is skipped or fails, and of each error in what its fixtures do."""
    if report.when == "call":
        _tell(report.nodeid, report.outcome)
    elif report.failed:
        _tell(report.nodeid, "error")
    elif report.skipped:
        _tell(report.nodeid, "skipped")


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Tell of a file that cannot be imported, with the last line of the reason."""
    if report.failed:
        _tell(report.nodeid, "not imported", report.longreprtext.strip().splitlines()[-1].removeprefix("E").strip())


def _tell(name: str, outcome: str, reason: str = "") -> None:
    line = json.dumps({"name": name, "outcome": outcome, "reason": reason}) + "\n"
    os.write(int(os.environ[OUTCOMES]), line.encode())
