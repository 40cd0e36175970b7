"""What users have without this project, on an ONNX Runtime and a torch.compile that are played."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from maskrt.tools.gpu_check import alternatives, carried
from maskrt.tools.gpu_check.part import Report, Skip

CUDA = "CUDAExecutionProvider"


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.setattr(alternatives, "require_gpu", lambda: None)
    monkeypatch.setattr(alternatives, "median_and_spread", lambda call: {"median": float(len(call()))})
    return Report(tmp_path / "result.json", tmp_path)


def results(report: Report) -> dict[str, Any]:
    return json.loads((report.carried / "result.json").read_text())["results"]


@pytest.mark.parametrize(
    ("available", "started", "message"),
    [([], [], "has no CUDA provider"), ([CUDA], [], "cannot start its CUDA provider"), ([CUDA], [CUDA], "")],
)
def test_onnx_runtime(
    report: Report, monkeypatch: pytest.MonkeyPatch, available: list[str], started: list[str], message: str
) -> None:
    with pytest.raises(Skip, match="no file came along"):
        alternatives.onnx_runtime(report)
    (report.carried / carried.ONNX).touch()
    arrays = {"images": np.zeros((1, 32, 32, 3), np.uint8), "image_sizes": np.full((1, 2), 32, np.int32)}
    np.savez(report.carried / carried.REFERENCE, boxes=np.ones((1, 2, 4), np.float32), **arrays)

    class Session:
        def __init__(self, path: str, providers: list[str]) -> None:
            assert providers == [CUDA]

        def get_providers(self) -> list[str]:
            return started

        def get_outputs(self) -> list[Any]:
            return [SimpleNamespace(name="boxes")]

        def run(self, names: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
            assert feed["score_threshold"].tolist() == [[np.float32(0.05)]]
            return [np.full((1, 2, 4), 1.5, np.float32)]

    runtime = SimpleNamespace(__version__="1.31", InferenceSession=Session, get_available_providers=lambda: available)
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    if message:
        with pytest.raises(Skip, match=message):
            alternatives.onnx_runtime(report)
    else:
        alternatives.onnx_runtime(report)
        assert results(report) == {"version": "1.31", "differences": {"boxes": 0.5}, "us": {"median": 1.0}}


def test_torch_compile(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    class Model(nn.Module):
        def forward(self, pictures: list[torch.Tensor]) -> list[torch.Tensor]:
            return pictures

        def cuda(self, device: Any = None) -> Any:
            return self

    def missing(_: Report) -> Any:
        raise ImportError("no weights")

    images, sizes = torch.zeros(2, 32, 32, 3, dtype=torch.uint8), torch.tensor([[32, 30], [20, 32]])
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self: self)
    monkeypatch.setattr(torch, "compile", lambda model: lambda pictures: model(pictures) * 2)
    models = {"one": missing, "other": lambda _: (Model(), images, sizes, None)}
    monkeypatch.setattr(alternatives, "MODELS", models)
    alternatives.compiled(report)
    assert results(report) == {
        "one": {"left_out": "ImportError: no weights"},
        "other": {"eager_us": {"median": 2.0}, "compiled_us": {"median": 4.0}},
    }
