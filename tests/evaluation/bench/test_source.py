from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from maskrt.evaluation.bench import source as bench_source
from maskrt.evaluation.bench.source import open_source
from maskrt.export.exporter import weights_hash
from maskrt.export.families.base import describe_model
from maskrt.options import SourceOptions

DEMO = SourceOptions("maskrt.shapes.model:shapes_model")


@pytest.fixture
def files(photographs: dict[str, np.ndarray], tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "coffee.png", tmp_path / "astronaut.png"]
    for path in paths:
        cv2.imwrite(str(path), cv2.cvtColor(photographs[path.stem], cv2.COLOR_RGB2BGR))
    return paths


def test_stages_are_torchvisions_own_inference(
    shapes_model: torch.nn.Module, photographs: dict[str, np.ndarray], files: list[Path]
) -> None:
    side = open_source(DEMO, compiled=False, threads=None)
    assert side.work == f"weights {weights_hash(shapes_model)[:12]}, resized to 320-560 px"
    images = [torch.from_numpy(photographs[file.stem]).permute(2, 0, 1).float() / 255 for file in files]
    with torch.inference_mode():
        expected = [output["masks"][:, 0] > 0.5 for output in shapes_model(images)]
    found = side.run(files)
    assert [len(rles) for rles in found] == [len(masks) for masks in expected]
    assert sum(map(len, found)) > 0
    for rles, masks in zip(found, expected, strict=True):
        np.testing.assert_array_equal(coco_mask.decode(rles).transpose(2, 0, 1), masks.numpy())


def test_compiled_is_said_and_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it means is the reference's own test."""
    compiled: list[torch.nn.Module] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(module))
    side = open_source(DEMO, compiled=True, threads=None)
    assert (side.name, side.precision) == ("PyTorch compiled", "fp16")
    assert compiled


def test_too_large_a_batch_is_a_matter_of_memory(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Which the benchmark reports of this side and batch, and goes on."""

    def run_out(module: torch.nn.Module, *inputs: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.\nStack:")

    side = open_source(DEMO, compiled=False, threads=None)
    monkeypatch.setattr("torchvision.models.detection.rpn.RPNHead.forward", run_out)
    with pytest.raises(MemoryError, match=r"^CUDA out of memory. Tried to allocate 20 GiB.$"):
        side.run(files)


def test_a_detector_without_masks(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

    detector = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None).eval()
    monkeypatch.setattr(bench_source, "load_source", lambda options: describe_model(detector))
    side = open_source(DEMO, compiled=False, threads=None)
    assert all(len(box) == 4 for boxes in side.run(files) for box in boxes)
