from pathlib import Path

import pytest
import torch
from torch import nn

from maskrt.export.checkpoints import read_checkpoint
from maskrt.export.checkpoints.errors import CheckpointError
from maskrt.export.families.weights import forget_checkpoint, is_checkpoint_file, load_weights, open_checkpoint


def _network() -> nn.Module:
    return nn.ModuleDict({"backbone": nn.Conv2d(3, 4, 1), "rpn": nn.BatchNorm2d(4)})


def _write(path: Path, **changes: torch.Tensor | None) -> Path:
    state = {**_network().state_dict(), **{key.replace("__", "."): value for key, value in changes.items()}}
    torch.save({key: value for key, value in state.items() if value is not None}, path)
    return path


@pytest.mark.parametrize("source", ["model_final.pth", "a/b.PKL", "m.pt", "m.safetensors", "m.ckpt"])
def test_names_of_checkpoints(source):
    assert is_checkpoint_file(source)


@pytest.mark.parametrize(
    "source", ["maskrcnn_resnet50_fpn", "mine:make_model", "detectron2:COCO/mask_rcnn", "config.yaml"]
)
def test_names_of_other_things(source):
    assert not is_checkpoint_file(source)


def test_a_network_without_memory_gets_its_weights(tmp_path):
    with torch.device("meta"):
        network = _network()
    path = _write(
        tmp_path / "w.pth", backbone__weight=torch.ones(4, 3, 1, 1, dtype=torch.float16), rpn__num_batches_tracked=None
    )
    load_weights(network, read_checkpoint(path), "config", "nothing")
    assert network["backbone"].weight.dtype == torch.float32
    assert float(network["backbone"].weight.detach().sum()) == 12
    assert int(network["rpn"].num_batches_tracked) == 0


def test_names_that_no_network_needs_are_left_out(tmp_path):
    path = _write(tmp_path / "w.pth", pixel_mean=torch.zeros(3, 1, 1))
    with pytest.raises(CheckpointError, match="more than the model: 1 tensors, for example pixel_mean"):
        load_weights(_network(), read_checkpoint(path), "config", "nothing")
    load_weights(_network(), read_checkpoint(path), "config", "pixel_mean")


def test_a_checkpoint_is_read_once_until_it_changes(tmp_path):
    path = _write(tmp_path / "w.pth")
    first = open_checkpoint(path)
    assert open_checkpoint(path) is first
    forget_checkpoint()
    assert open_checkpoint(path) is not first
    _write(path, backbone__weight=torch.zeros(4, 3, 1, 1), rpn__weight=torch.zeros(4), more=torch.zeros(100))
    assert "more" in open_checkpoint(path).tensors
    with pytest.raises(CheckpointError, match="no checkpoint"):
        open_checkpoint(tmp_path / "gone.pth")
