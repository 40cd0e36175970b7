import argparse
import sys
import types
import urllib.error

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import detection, get_model_weights
from torchvision.ops import FrozenBatchNorm2d

from maskrt.export.families.torchvision import sources
from maskrt.export.families.torchvision.sources import SourceError, load_model

SMALL = "fasterrcnn_mobilenet_v3_large_320_fpn"


@pytest.fixture(scope="module")
def state():
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
def test_checkpoint_alone_or_under_a_key_and_its_class_count(state, tmp_path, wrap):
    torch.save(wrap(state), tmp_path / "model.pth")
    model, names = load_model(SMALL, checkpoint=tmp_path / "model.pth")
    assert names is None
    assert not model.training
    assert model.roi_heads.box_predictor.cls_score.out_features == 5
    assert all(torch.equal(model.state_dict()[key], value) for key, value in state.items())


def test_safetensors_and_names_of_data_parallel(state, tmp_path):
    save_file({f"module.{key}": value.contiguous() for key, value in state.items()}, tmp_path / "model.safetensors")
    model, _ = load_model(SMALL, checkpoint=tmp_path / "model.safetensors")
    assert torch.equal(model.state_dict()["rpn.head.bbox_pred.weight"], state["rpn.head.bbox_pred.weight"])


def test_torchvision_weights_bring_their_class_names(monkeypatch):
    weights = detection.FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1

    def builder(*, weights, progress):
        return detection.fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None, num_classes=91)

    monkeypatch.setitem(sources.BUILDERS, SMALL, builder)
    _, names = load_model(SMALL, weights="COCO_V1")
    assert names == weights.meta["categories"]
    assert len(names) == 91


@pytest.fixture
def published(monkeypatch, tmp_path):
    """A function: the model that torchvision makes of its published weights, with made-up ones and their file."""

    def make(name):
        weights = get_model_weights(name)["COCO_V1"]
        state = getattr(detection, name)(weights=None, weights_backbone=None).state_dict()
        path = tmp_path / weights.url.rpartition("/")[2]
        torch.save(state, path)
        monkeypatch.setattr(type(weights), "get_state_dict", lambda self, **options: dict(state))
        return getattr(detection, name)(weights=weights).eval(), path

    return make


def epsilons(model):
    return [module.eps for module in model.modules() if isinstance(module, nn.BatchNorm2d | FrozenBatchNorm2d)]


@pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn", SMALL])
def test_checkpoint_of_published_weights_gives_the_published_model(published, name, tmp_path):
    """Also in normalisation's epsilon, which is no weight; the file is known by its name or by --weights."""
    expected, path = published(name)
    (tmp_path / "renamed.pth").symlink_to(path)
    for options in ({"checkpoint": path}, {"checkpoint": tmp_path / "renamed.pth", "weights": "COCO_V1"}):
        model, names = load_model(name, **options)
        assert names[:2] == ["__background__", "person"]
        assert epsilons(model) == epsilons(expected)
        assert all(torch.equal(model.state_dict()[key], value) for key, value in expected.state_dict().items())


def test_fine_tuned_from_published_weights_has_no_names_of_theirs(state, tmp_path):
    torch.save(state, tmp_path / "mine.pth")
    model, names = load_model(SMALL, weights="COCO_V1", checkpoint=tmp_path / "mine.pth")
    assert names is None
    assert model.roi_heads.box_predictor.cls_score.out_features == 5


def test_weights_that_cannot_be_downloaded(monkeypatch):
    def builder(*, weights, progress):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setitem(sources.BUILDERS, SMALL, builder)
    with pytest.raises(SourceError, match=r"no route to host.*--checkpoint"):
        load_model(SMALL, weights="COCO_V1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("maskrcnn_resnet18",), "unknown model 'maskrcnn_resnet18': expected one of maskrcnn_resnet50_fpn"),
        ((SMALL,), "needs weights: give --weights COCO_V1 or --checkpoint"),
        ((SMALL, "COCO_V7"), "no weights 'COCO_V7': expected one of COCO_V1"),
        (("no.such.module:factory",), "cannot import 'no.such.module'"),
        (("json:factory",), "'json' has no 'factory'"),
        (("json:loads",), "json:loads failed: TypeError"),
        (("time:time",), "time:time returned a float, expected a torch.nn.Module"),
        (("mine.py:make",), "'mine.py:make' begins with a file: expected a module, mine:make"),
        ((":",), "cannot read ':': expected package.module:factory"),
        (("json:",), "cannot read 'json:': expected package.module:factory"),
    ],
)
def test_sources_that_do_not_exist(arguments, message):
    source, weights = (*arguments, None)[:2]
    with pytest.raises(SourceError, match=message):
        load_model(source, weights=weights)


@pytest.mark.parametrize(
    ("text", "message"), [("raise ValueError('boom')", "ValueError: boom"), ("def f(:", "SyntaxError: invalid syntax")]
)
def test_a_factory_whose_module_fails(tmp_path, monkeypatch, text, message):
    (tmp_path / "fails_when_imported.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SourceError, match=f"cannot import 'fails_when_imported' of .*: {message}"):
        load_model("fails_when_imported:make")


def test_a_model_of_half_precision_becomes_fp32(monkeypatch):
    monkeypatch.setitem(sys.modules, "mine", types.SimpleNamespace(make=lambda: nn.Linear(2, 2).bfloat16()))
    model, _ = load_model("mine:make")
    assert {tensor.dtype for tensor in model.state_dict().values() if tensor.is_floating_point()} == {torch.float32}
    assert not model.training


def test_bad_checkpoints(state, tmp_path):
    def expect(name: str, message: str, source: str = SMALL, num_classes: int | None = None) -> None:
        with pytest.raises(SourceError, match=message):
            load_model(source, checkpoint=tmp_path / name, num_classes=num_classes)

    expect("missing.pth", "there is no checkpoint")
    (tmp_path / "text.pth").write_text("hello")
    expect("text.pth", "cannot read the checkpoint")
    (tmp_path / "text.safetensors").write_text("hello")
    expect("text.safetensors", "cannot read the checkpoint")
    torch.save(state, tmp_path / "good.pth")
    content = (tmp_path / "good.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(content[: len(content) // 2])
    expect("cut.pth", "cannot read the checkpoint")
    torch.save([1, 2], tmp_path / "list.pth")
    expect("list.pth", "holds no state dict")
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")  # a pickled module could run anything when loaded
    expect("module.pth", r"holds more than tensors.*: torch.save\(model.state_dict\(\), path\)")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pth")
    expect("other.pth", "has no 'roi_heads.box_predictor.cls_score.weight'")
    expect("good.pth", "is of another architecture: .* tensors are missing", "fasterrcnn_resnet50_fpn")
    expect(
        "good.pth",
        r"cls_score.weight has the shape \(5, 1024\), expected \(7, 1024\); give the right --num-classes",
        num_classes=7,
    )
