"""`make gpu-check` where there is no GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskrt.plugins import gpu_check


def test_without_a_gpu_it_says_so_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert gpu_check.main(["--output", str(tmp_path / "results")]) == gpu_check.NO_GPU
    message = capsys.readouterr().err
    assert message == "gpu-check needs an NVIDIA GPU: torch sees no NVIDIA GPU on this machine. Nothing was checked.\n"
    assert not (tmp_path / "results").exists()
