"""The probe of engines that were built without a GPU, on a TensorRT-RTX that is played."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from maskrt.tools.gpu_check import carried, rtx
from maskrt.tools.gpu_check.part import Report, Skip


class Logger:
    ERROR, INTERNAL_ERROR = "error", "internal error"


class Runtime:
    """Loads what begins with "good"."""

    def __init__(self, log: Any) -> None:
        self._log = log

    def deserialize_cuda_engine(self, data: bytes) -> Any:
        if data.startswith(b"good"):
            return SimpleNamespace(create_execution_context=lambda: object())
        self._log.log(Logger.ERROR, "it is for another GPU")
        return None


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.setattr(rtx, "require_gpu", lambda: None)
    trt = SimpleNamespace(__version__="1.7.1.116", ILogger=Logger, Runtime=Runtime)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", trt)
    monkeypatch.setattr("maskrt.plugins.loader.load_plugins", lambda _: None)
    folder = tmp_path / "carried"
    folder.mkdir()
    return Report(tmp_path / "result.json", folder)


def test_each_engine_is_tried(report: Report, tmp_path: Path) -> None:
    """Also behind one that does not load; why the runtime takes neither is said."""
    np.savez(report.carried / carried.REFERENCE, images=np.zeros((1, 32, 32, 3), np.uint8), image_sizes=[[32, 32]])
    (report.carried / "a.engine").write_bytes(b"bad")
    (report.carried / "b.engine").write_bytes(b"good")
    rtx.run(report)
    results = json.loads((tmp_path / "result.json").read_text())["results"]
    assert results["tensorrt_rtx"] == "1.7.1.116"
    bad, good = results["a.engine"], results["b.engine"]
    assert (bad["loads"], bad["has_context"], bad["log"]) == (False, False, ["it is for another GPU"])
    assert (good["loads"], good["has_context"]) == (True, True)
    assert "has no manifest" in good["runs"]


def test_nothing_came_along(report: Report) -> None:
    with pytest.raises(Skip, match=r"no engine came along in .*gpu_check --prepare` makes some"):
        rtx.run(report)


@pytest.mark.slow
def test_what_comes_along(tmp_path: Path, shapes_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TensorRT-RTX, the model with its reference."""
    import torch

    from maskrt.tools.gpu_check.pipeline import _shapes

    monkeypatch.setattr(carried, "ENGINE_TARGETS", ())
    carried.prepare(tmp_path / "carried")
    model, images, sizes, expected = _shapes(Report(tmp_path / "result.json", tmp_path / "carried"))
    assert expected is not None
    assert images.dtype == torch.uint8
    assert (len(images), sizes.shape) == (2, (2, 2))
    assert (expected["num_detections"] > 0).all()
    mine, its = model.state_dict(), shapes_model.state_dict()
    assert all(torch.equal(mine[name], its[name]) for name in its)
