"""The comparison of the host build's keypoints with torchvision's; no bound on its times."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from maskrt.plugins import build, libraries
from maskrt.tools import keypoint_decoding


def test_both_sides_find_the_same(once: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = once("host-of-keypoints", lambda folder: build.build(folder, host_only=True))
    monkeypatch.setenv(libraries.DIRECTORY_VARIABLE, str(folder))
    theirs, ours, same = keypoint_decoding.measure(boxes=3, rounds=1)
    assert theirs > 0 and ours > 0
    assert same == 1
