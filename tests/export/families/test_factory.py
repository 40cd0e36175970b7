import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from maskrt.export.errors import SourceError, UnsupportedModelError
from maskrt.export.families.factory import build_model
from maskrt.options import SourceOptions


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no.such.module:factory", "cannot import 'no.such.module'"),
        ("json:factory", "'json' has no 'factory'"),
        ("json:loads", "json:loads failed: TypeError"),
        ("time:time", "time:time returned a float, expected a torch.nn.Module"),
        ("mine.py:make", "'mine.py:make' begins with a file: expected a module, mine:make"),
        (":", "cannot read ':': expected package.module:factory"),
        ("json:", "cannot read 'json:': expected package.module:factory"),
    ],
)
def test_factories_that_do_not_exist(source: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        build_model(SourceOptions(source))


@pytest.mark.parametrize(
    ("text", "message"), [("raise ValueError('boom')", "ValueError: boom"), ("def f(:", "SyntaxError: invalid syntax")]
)
def test_a_factory_whose_module_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str) -> None:
    (tmp_path / "fails_when_imported.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SourceError, match=f"cannot import 'fails_when_imported' of .*: {message}"):
        build_model(SourceOptions("fails_when_imported:make"))


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> None:
    """`mine:make` makes a layer of half precision in training mode."""
    monkeypatch.setitem(sys.modules, "mine", types.SimpleNamespace(make=lambda: nn.Linear(2, 2).bfloat16()))


@pytest.mark.usefixtures("mine")
def test_a_model_of_half_precision_becomes_fp32() -> None:
    model, _ = build_model(SourceOptions("mine:make"))
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}
    assert not model.training


@pytest.mark.usefixtures("mine")
def test_a_checkpoint_is_loaded_into_it(tmp_path: Path) -> None:
    state = {"weight": torch.ones(2, 2), "bias": torch.zeros(2)}
    torch.save(state, tmp_path / "mine.pth")
    model, _ = build_model(SourceOptions("mine:make", checkpoint=tmp_path / "mine.pth"))
    assert torch.equal(model.state_dict()["weight"], state["weight"])
    torch.save({"weight": torch.ones(2, 2)}, tmp_path / "half.pth")
    with pytest.raises(SourceError, match=r"half.pth is of another architecture: 1 tensors are missing and 0 are"):
        build_model(SourceOptions("mine:make", checkpoint=tmp_path / "half.pth"))


@pytest.mark.parametrize("options", [{"weights": "COCO_V1"}, {"num_classes": 3}, {"config": Path("mine.yaml")}])
@pytest.mark.usefixtures("mine")
def test_what_a_factory_decides_itself(options: dict[str, Any]) -> None:
    (option,) = options
    message = f"--{option.replace('_', '-')} goes with a model's name, but mine:make is a factory"
    with pytest.raises(SourceError, match=message):
        build_model(SourceOptions("mine:make", **options))


@pytest.mark.parametrize(("epsilon", "frozen", "said"), [(1e-5, True, 1), (0.0, True, 0), (1e-5, False, 0)])
def test_the_epsilon_of_frozen_norms_is_asked_for(
    epsilon: float, frozen: bool, said: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a checkpoint of frozen norms, which has no counters; the model may have frozen norms itself."""
    for kind in (nn.BatchNorm2d, FrozenBatchNorm2d):
        make = lambda kind=kind: nn.Sequential(kind(2, eps=epsilon))  # noqa: E731
        monkeypatch.setitem(sys.modules, "mine", types.SimpleNamespace(make=make))
        state = nn.Sequential(nn.BatchNorm2d(2)).state_dict()
        torch.save({key: t for key, t in state.items() if not (frozen and "batches" in key)}, tmp_path / "mine.pth")
        _, notes = build_model(SourceOptions("mine:make", checkpoint=tmp_path / "mine.pth"))
        assert sum("COCO_V1 weights of fasterrcnn_resnet50_fpn" in note for note in notes) == said


@pytest.mark.usefixtures("mine")
def test_a_checkpoint_of_another_network_is_named(tmp_path: Path) -> None:
    torch.save({"head.classification_head.conv.0.0.weight": torch.zeros(2)}, tmp_path / "mine.pth")
    with pytest.raises(SourceError, match=r"mine\.pth is of RetinaNet, not of this model\. Expected"):
        build_model(SourceOptions("mine:make", checkpoint=tmp_path / "mine.pth"))


def test_a_model_that_would_be_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.Linear(2, 2).double()
    nn.init.constant_(layer.weight, 0.1)
    monkeypatch.setitem(sys.modules, "mine", types.SimpleNamespace(make=lambda: layer))
    with pytest.raises(
        UnsupportedModelError, match=r"its weight is float64 and would be rounded; call model.float\(\)"
    ):
        build_model(SourceOptions("mine:make"))


@pytest.mark.usefixtures("mine")
def test_a_key_of_a_checkpoint_without_one() -> None:
    with pytest.raises(
        SourceError, match="--checkpoint-key says which weights of a checkpoint to take, but there is no"
    ):
        build_model(SourceOptions("mine:make", checkpoint_key="ema"))
