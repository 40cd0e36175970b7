from __future__ import annotations

import argparse
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import detection, get_model_weights
from torchvision.ops import FrozenBatchNorm2d

from maskrt.export.errors import SourceError
from maskrt.export.families.base import LoadedModel
from maskrt.export.families.torchvision import sources
from maskrt.options import SourceOptions

SMALL = "fasterrcnn_mobilenet_v3_large_320_fpn"


def load(source: str = SMALL, **options: Any) -> LoadedModel:
    return sources.load_model(SourceOptions(source, **options))


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return detection.fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, num_classes=5
    ).state_dict()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        # As torchvision's references/detection/train.py saves it.
        lambda s: {"model": s, "epoch": 3, "args": argparse.Namespace(lr=0.02, data_path="coco")},
        lambda s: {"state_dict": s},
        lambda s: {f"_orig_mod.{key}": value for key, value in s.items()},
    ],
)
def test_checkpoint_alone_or_under_a_key_and_its_class_count(
    state: dict[str, Tensor], tmp_path: Path, wrap: Callable[[Any], Any]
) -> None:
    torch.save(wrap(state), tmp_path / "model.pth")
    loaded = load(checkpoint=tmp_path / "model.pth")
    assert loaded.class_names is None
    assert not loaded.model.training
    assert loaded.model.state_dict()["roi_heads.box_predictor.cls_score.bias"].shape == (5,)
    assert all(torch.equal(loaded.model.state_dict()[key], value) for key, value in state.items())


def test_safetensors_and_names_of_data_parallel(state: dict[str, Tensor], tmp_path: Path) -> None:
    save_file({f"module.{key}": value.contiguous() for key, value in state.items()}, tmp_path / "model.safetensors")
    model = load(checkpoint=tmp_path / "model.safetensors").model
    assert torch.equal(model.state_dict()["rpn.head.bbox_pred.weight"], state["rpn.head.bbox_pred.weight"])


def test_torchvision_weights_bring_their_class_names(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = detection.FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1

    def builder(*, weights: object, progress: bool) -> nn.Module:
        return detection.fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None, num_classes=91)

    monkeypatch.setitem(sources.BUILDERS, SMALL, builder)
    names = load(weights="COCO_V1").class_names
    assert names == weights.meta["categories"]
    assert names is not None
    assert len(names) == 91


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], tuple[nn.Module, Path]]:
    """A function: the model that torchvision makes of its published weights, with made-up ones and their file."""

    def make(name: str) -> tuple[nn.Module, Path]:
        weights = get_model_weights(name)["COCO_V1"]
        state = getattr(detection, name)(weights=None, weights_backbone=None).state_dict()
        path = tmp_path / weights.url.rpartition("/")[2]
        torch.save(state, path)
        monkeypatch.setattr(type(weights), "get_state_dict", lambda self, **options: dict(state))
        return getattr(detection, name)(weights=weights).eval(), path

    return make


def epsilons(model: nn.Module) -> list[float]:
    return [module.eps for module in model.modules() if isinstance(module, nn.BatchNorm2d | FrozenBatchNorm2d)]


@pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn", SMALL])
def test_checkpoint_of_published_weights_gives_the_published_model(
    name: str, published: Callable[[str], tuple[nn.Module, Path]], tmp_path: Path
) -> None:
    """Also in normalisation's epsilon, which is no weight; the file is known by its name or by --weights."""
    expected, path = published(name)
    (tmp_path / "renamed.pth").symlink_to(path)
    for options in ({"checkpoint": path}, {"checkpoint": tmp_path / "renamed.pth", "weights": "COCO_V1"}):
        loaded = load(name, **options)
        assert loaded.class_names is not None
        assert loaded.class_names[:2] == ["__background__", "person"]
        assert epsilons(loaded.model) == epsilons(expected)
        assert all(torch.equal(loaded.model.state_dict()[key], value) for key, value in expected.state_dict().items())


def test_fine_tuned_from_published_weights_has_no_names_of_theirs(state: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "mine.pth")
    loaded = load(weights="COCO_V1", checkpoint=tmp_path / "mine.pth")
    assert loaded.class_names is None
    assert loaded.model.state_dict()["roi_heads.box_predictor.cls_score.bias"].shape == (5,)


def test_weights_that_cannot_be_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def builder(*, weights: object, progress: bool) -> nn.Module:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setitem(sources.BUILDERS, SMALL, builder)
    with pytest.raises(SourceError, match=r"no route to host.*--checkpoint"):
        load(weights="COCO_V1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs weights: give --weights COCO_V1 or --checkpoint"),
        ({"weights": "COCO_V7"}, "no weights 'COCO_V7': expected one of COCO_V1"),
        ({"weights": "COCO_V1", "num_classes": 3}, "--num-classes goes with --checkpoint"),
        (
            {"weights": "COCO_V1", "config": Path("mine.yaml")},
            "is a torchvision model, which has none; leave out",
        ),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        load(**options)


def test_checkpoints_that_do_not_fit(state: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(SourceError, match=r"has no 'roi_heads.box_predictor.cls_score.weight'"):
        load(checkpoint=tmp_path / "other.pth")
    torch.save(state, tmp_path / "good.pth")
    with pytest.raises(SourceError, match=r"is of another architecture: .* tensors are missing"):
        load("fasterrcnn_resnet50_fpn", checkpoint=tmp_path / "good.pth")
    message = r"cls_score.weight has the shape \(5, 1024\), expected \(7, 1024\); give the right --num-classes"
    with pytest.raises(SourceError, match=message):
        load(checkpoint=tmp_path / "good.pth", num_classes=7)
