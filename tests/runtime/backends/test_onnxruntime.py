"""A device that ONNX Runtime has, but cannot use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from maskrt.contract.tensors import make_feed
from maskrt.runtime import DependencyError
from maskrt.runtime.backends.onnxruntime import OnnxRuntimeBackend

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


@pytest.fixture
def model(write_model: Callable[..., Path]) -> Path:
    return write_model()


@pytest.fixture
def unusable_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ONNX Runtime with CUDA that a session does not get, as where cuDNN is missing."""
    create = onnxruntime.InferenceSession

    def on_the_cpu(*arguments: object, **options: object) -> onnxruntime.InferenceSession:
        return create(*arguments, **{**options, "providers": [CPU]})

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", on_the_cpu)


@pytest.mark.usefixtures("unusable_cuda")
@pytest.mark.parametrize("providers", [None, [CUDA, CPU]])
def test_a_fall_back_to_the_cpu_is_told(model: Path, providers: list[str] | None) -> None:
    with pytest.warns(
        RuntimeWarning, match=r"cannot start CUDAExecutionProvider .*cuDNN.* runs on CPUExecutionProvider"
    ):
        backend = OnnxRuntimeBackend(model, providers=providers)
    assert backend.providers == (CPU,)
    image, sizes = np.zeros((1, 64, 64, 3), np.uint8), np.array([[64, 64]], np.int32)
    found = backend.run(make_feed(image, sizes, 0.5, 0.5))
    assert found.num_detections.tolist() == [2]


@pytest.mark.usefixtures("unusable_cuda")
def test_nothing_falls_back_to_what_was_not_asked_for(model: Path) -> None:
    with pytest.raises(DependencyError, match=r"cannot start CUDAExecutionProvider .*cuDNN"):
        OnnxRuntimeBackend(model, providers=[CUDA])
