"""The controls of the tests with damaged files: a process that comes to a bad end is seen, and work goes on."""

from pathlib import Path

import pytest

from . import examiner
from .examiner import Examiner


@pytest.mark.parametrize("what", ["crash", "hang", "wait", "memory", "fault"])
def test_each_bad_end_is_seen(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examiner, "SECONDS", 2 if what == "hang" else 120)
    monkeypatch.setattr(examiner, "WAITING_SECONDS", 1 if what == "wait" else 120)
    monkeypatch.setattr(examiner, "MEGABYTES", 300)
    bad, good = tmp_path / "bad", tmp_path / "good"
    bad.write_text(what)
    good.write_text("well")
    with Examiner() as each:
        assert each.examine("misbehave", bad).outcome == ("hang" if what == "wait" else what)
        monkeypatch.setattr(examiner, "WAITING_SECONDS", 120)
        assert each.examine("misbehave", good).fingerprint == "well"
