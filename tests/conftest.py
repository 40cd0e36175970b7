"""Fixtures that several folders of tests share: models, their exported files, and pictures."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from maskrt.plugins import build, libraries


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips GPU tests, with the reason, where there is no GPU."""
    if not any("gpu" in item.keywords for item in items):
        return
    import torch

    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="torch sees no NVIDIA GPU on this machine"))


@pytest.fixture(scope="session")
def shapes_model():
    """The trained demo model in FP32 PyTorch."""
    from maskrt.shapes.model import shapes_model

    return shapes_model()


@pytest.fixture(scope="session")
def shapes_onnx(shapes_model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model as a maskrt ONNX file with uint8 input."""
    from maskrt.export import export_onnx

    return export_onnx(shapes_model, tmp_path_factory.mktemp("shapes") / "shapes.onnx")


@pytest.fixture(scope="session")
def shapes_float32_onnx(shapes_model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model as a maskrt ONNX file with float32 input, which does not round resized pixels."""
    from maskrt.export import export_onnx

    return export_onnx(shapes_model, tmp_path_factory.mktemp("shapes") / "shapes32.onnx", input_type="float32")


@pytest.fixture(scope="session")
def photographs() -> dict[str, np.ndarray]:
    """Real photographs `[H,W,3]` uint8 RGB."""
    from maskrt.shapes.backgrounds import photograph

    names = ("astronaut", "chelsea", "china.jpg", "coffee")
    return {name: np.ascontiguousarray(photograph(name)) for name in names}


@pytest.fixture(scope="session")
def drawn_model(photographs: dict[str, np.ndarray]) -> Callable[[str], object]:
    """Makes a torchvision model by name with weights that spread detections over classes and scores."""
    import torch
    from torchvision.models import detection

    from maskrt.evaluation.drawn_weights import draw_weights

    def make(name: str, **options: object) -> object:
        model = getattr(detection, name)(weights=None, weights_backbone=None, **options)
        images = [torch.from_numpy(photographs[key]).permute(2, 0, 1).float() / 255 for key in ("astronaut", "coffee")]
        return draw_weights(model, images)

    return make


@pytest.fixture(scope="session")
def plugin_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all plugin libraries: the one that the environment names, or a build for all architectures."""
    if libraries.DIRECTORY_VARIABLE in os.environ:
        return libraries.directory()
    if shutil.which("nvcc", path=f"{os.environ['PATH']}:/usr/local/cuda/bin") is None:
        pytest.skip("nvcc is not installed")
    return build.build(tmp_path_factory.mktemp("plugins"))
