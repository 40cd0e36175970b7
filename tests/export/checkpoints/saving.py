"""A small network with the names of torchvision's detectors, and comparisons of what was read with what was saved."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from maskrt.export.checkpoints import Checkpoint


class Detector(nn.Module):
    """Has the outermost modules of torchvision's Faster R-CNN, and small layers of its own in them."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.rpn = nn.ModuleDict({"head": nn.Conv2d(4, 2, 1)})
        self.roi_heads = nn.ModuleDict({"box_predictor": nn.ModuleDict({"cls_score": nn.Linear(4, 3)})})


def make_detector() -> Detector:
    """A detector with weights that are all different."""
    torch.manual_seed(0)
    detector = Detector()
    for tensor in detector.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape))
    return detector


def assert_same(checkpoint: Checkpoint, state: Mapping[str, Tensor]) -> None:
    """That the weights are just these, with their types."""
    assert sorted(checkpoint.tensors) == sorted(state)
    for name, tensor in state.items():
        read = checkpoint.tensors[name]
        assert read.dtype == tensor.dtype, name
        assert read.shape == tensor.shape, name
        assert torch.equal(read, tensor), name


def write(path: Path, data: bytes) -> Path:
    """Write a file; returns its path."""
    path.write_bytes(data)
    return path
