from __future__ import annotations

import argparse
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import detection, get_model_weights
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNPredictor
from torchvision.ops import FrozenBatchNorm2d

from maskrt.contract.keypoints import COCO_PERSON
from maskrt.errors import MaskrtError
from maskrt.export.errors import SourceError
from maskrt.export.families.base import LoadedModel
from maskrt.export.families.torchvision import sources
from maskrt.options import SourceOptions

from ....support.torchvision_models import CLASSES, old_names, small_faster_rcnn, small_mask_rcnn

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
        lambda s: {"epoch": 3, "model_state_dict": s, "optimizer_state_dict": {"state": {}, "param_groups": []}},
        lambda s: {"state_dict": {f"model.{key}": value for key, value in s.items()}, "hyper_parameters": {"lr": 1}},
        lambda s: {f"_orig_mod.module.{key}": value for key, value in s.items()},
        lambda s: {"model": s, "best_map": np.float64(0.4)},
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
    loaded = load(checkpoint=tmp_path / "model.safetensors")
    name = "rpn.head.bbox_pred.weight"
    assert torch.equal(loaded.model.state_dict()[name], state[name])
    (note,) = loaded.notes
    assert "'module.' was taken off" in note


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
    with pytest.raises(SourceError, match=r"is of a network that is not known. Expected the whole state dict of one"):
        load(checkpoint=tmp_path / "other.pth")
    headless = {key: value for key, value in state.items() if "box_predictor" not in key}
    torch.save(headless, tmp_path / "headless.pth")
    with pytest.raises(SourceError, match=r"has no matrix 'roi_heads.box_predictor.cls_score.weight'"):
        load(checkpoint=tmp_path / "headless.pth")
    torch.save(state, tmp_path / "good.pth")
    with pytest.raises(SourceError, match=r"not fit the model: backbone\..* Give the model that it was trained with"):
        load("fasterrcnn_resnet50_fpn", checkpoint=tmp_path / "good.pth")
    message = r"cls_score.weight has the shape \[5, 1024\], expected \[7, 1024\]. Give the right --num-classes"
    with pytest.raises(SourceError, match=message):
        load(checkpoint=tmp_path / "good.pth", num_classes=7)


def small_keypoint_rcnn() -> nn.Module:
    """With the weights of a keypoint predictor, which is all that loading asks for."""
    model = small_faster_rcnn()
    model.roi_heads.keypoint_predictor = KeypointRCNNPredictor(8, 2)
    return model


def small_maker(name: str) -> Callable[[], nn.Module]:
    """What makes a small model in the place of the builder of a name."""
    kinds = {"mask": small_mask_rcnn, "keypoint": small_keypoint_rcnn, "faster": small_faster_rcnn}
    return next(make for kind, make in kinds.items() if name.startswith(kind))


@pytest.fixture
def small_builders(monkeypatch: pytest.MonkeyPatch) -> None:
    """All builders make a small model of their kind."""

    def builder(make: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        def build(*, weights: None, weights_backbone: None, num_classes: int, **others: int) -> nn.Module:
            assert num_classes == CLASSES
            assert others in ({}, {"num_keypoints": 2})
            return make()

        return build

    for name in sources.BUILDERS:
        monkeypatch.setitem(sources.BUILDERS, name, builder(small_maker(name)))


FROZEN = "was 0: give --weights COCO_V1"


@pytest.mark.usefixtures("small_builders")
@pytest.mark.parametrize("name", sources.BUILDERS)
@pytest.mark.parametrize("weights", [None, "COCO_V1"])
@pytest.mark.parametrize("frozen", [True, False])
def test_the_epsilon_of_frozen_norms_is_respected_and_said(
    name: str, weights: str | None, frozen: bool, tmp_path: Path
) -> None:
    """A checkpoint that was fine-tuned from COCO_V1 has no counters, and does not say that its epsilon is 0."""
    if weights is not None and weights not in get_model_weights(name).__members__:
        pytest.skip("there are no such weights")
    state = small_maker(name)().state_dict()
    torch.save({key: t for key, t in state.items() if not (frozen and "batches" in key)}, tmp_path / "mine.pth")
    loaded = load(name, checkpoint=tmp_path / "mine.pth", weights=weights)
    of_resnet = name in ("maskrcnn_resnet50_fpn", "keypointrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn")
    assert set(epsilons(loaded.model)) == ({0.0} if of_resnet and weights else {1e-5})
    assert sum(FROZEN in note for note in loaded.notes) == (of_resnet and frozen and not weights)


OLD_FILES: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "plain": lambda state: state,
    "under model": lambda state: {"model": state},
    "Lightning": lambda state: {"state_dict": {f"model.{key}": tensor for key, tensor in state.items()}},
    "module._orig_mod.": lambda state: {f"module._orig_mod.{key}": tensor for key, tensor in state.items()},
    "ema": lambda state: {"ema": {"n_averaged": torch.tensor(7), **{f"module.{k}": t for k, t in state.items()}}},
    "half": lambda state: {key: tensor.half().float().half() for key, tensor in state.items()},
}


@pytest.mark.usefixtures("small_builders")
@pytest.mark.parametrize("old_format", [False, True])
@pytest.mark.parametrize("wrap", OLD_FILES)
def test_names_of_older_versions_are_torchvisions_own_matter(wrap: str, old_format: bool, tmp_path: Path) -> None:
    """FPN, RPN and mask head had other names until 0.12; its `load_state_dict` takes them where no version is said."""
    state = small_mask_rcnn().state_dict()
    if wrap == "half":
        state = {key: tensor.half().to(tensor.dtype) for key, tensor in state.items()}
    old = old_names(state)
    assert len(old.keys() - state.keys()) == 18
    torch.save(OLD_FILES[wrap](old), tmp_path / "old.pth", _use_new_zipfile_serialization=not old_format)
    loaded = load("maskrcnn_resnet50_fpn", checkpoint=tmp_path / "old.pth").model.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in state.items())


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("head.classification_head.conv.0.0.weight", "RetinaNet"),
        ("sem_seg_head.predictor.query_feat.weight", "Mask2Former"),
        ("roi_heads.mask_point_head.fc1.weight", "PointRend"),
        ("roi_head.semantic_head.lateral_convs.0.conv.weight", "Hybrid Task Cascade"),
        ("transformer.decoder.layers.0.linear1.weight", "DETR"),
        ("roi_head.bbox_head.fc_cls.weight", "Faster R-CNN of mmdetection; expected one of torchvision"),
    ],
)
def test_checkpoints_of_other_networks_are_named(name: str, what: str, tmp_path: Path) -> None:
    torch.save({"backbone.conv1.weight": torch.zeros(1, 1), name: torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(SourceError, match=what):
        load(checkpoint=tmp_path / "other.pth")


def test_torchvision_weights_bring_the_names_of_their_keypoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sources.BUILDERS, "keypointrcnn_resnet50_fpn", lambda *, weights, progress: nn.Identity())
    loaded = load("keypointrcnn_resnet50_fpn", weights="COCO_V1")
    assert tuple(loaded.model.keypoint_names) == COCO_PERSON  # type: ignore[arg-type]
    assert loaded.class_names == ["no person", "person"]


def test_a_checkpoint_tells_the_number_of_its_keypoints(
    state: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is; here the rest of the model is that of a small detector."""
    asked: dict[str, int] = {}

    def builder(*, weights: None, weights_backbone: None, **sizes: int) -> nn.Module:
        asked.update(sizes)
        model = detection.fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None, num_classes=5)
        model.roi_heads.keypoint_predictor = nn.Module()
        model.roi_heads.keypoint_predictor.kps_score_lowres = nn.ConvTranspose2d(8, sizes["num_keypoints"], 4, 2, 1)
        return model

    monkeypatch.setitem(sources.BUILDERS, "keypointrcnn_resnet50_fpn", builder)
    key = "roi_heads.keypoint_predictor.kps_score_lowres"
    torch.save({**state, f"{key}.weight": torch.zeros(8, 6, 4, 4), f"{key}.bias": torch.zeros(6)}, tmp_path / "m.pth")
    load("keypointrcnn_resnet50_fpn", checkpoint=tmp_path / "m.pth")
    assert asked == {"num_classes": 5, "num_keypoints": 6}
    torch.save(state, tmp_path / "boxes.pth")
    with pytest.raises(MaskrtError, match=r"kps_score_lowres\.weight' of four axes; expected .* Keypoint R-CNN"):
        load("keypointrcnn_resnet50_fpn", checkpoint=tmp_path / "boxes.pth")
