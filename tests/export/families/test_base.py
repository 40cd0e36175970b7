from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

from maskrt.errors import ArgumentError
from maskrt.export.errors import SourceError, UnsupportedModelError
from maskrt.export.families.base import describe_model, families, family_of, load_source
from maskrt.options import SourceOptions

SHAPES = "maskrt.shapes.model:shapes_model"


def test_a_factory_is_asked_for_its_model_and_the_model_for_its_names() -> None:
    source = load_source(SourceOptions(SHAPES))
    assert source.source == SHAPES
    assert source.family.name == "torchvision"
    assert not source.model.training
    assert source.class_names is not None
    assert source.class_names[:2] == ("__background__", "disk")
    assert source.spec.detection.num_labels == 9


def test_class_names_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("\n".join("abcdefgh"))
    source = load_source(SourceOptions(SHAPES, class_names=path))
    assert source.class_names == ("__background__", *"abcdefgh")
    assert source.names_beside(["x"]) == source.class_names
    path.write_text("a\nb\n")
    with pytest.raises(ArgumentError, match="has 8 classes besides the background, but got 2 class names"):
        load_source(SourceOptions(SHAPES, class_names=path))


def test_names_that_only_a_file_has(shapes_model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(shapes_model, "class_names")
    source = describe_model(shapes_model)
    assert source.class_names is None
    assert source.names_beside(["nothing", "a"]) == ("nothing", "a", *(f"class {label}" for label in range(2, 9)))
    assert source.names_beside([str(label) for label in range(20)]) == tuple(map(str, range(9)))


def test_names_of_the_model_that_do_not_fit_it(shapes_model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes_model, "class_names", ["a", "b"])
    with pytest.raises(ArgumentError, match="but the model's class_names has 2 class names"):
        describe_model(shapes_model)
    assert describe_model(shapes_model, list("abcdefgh")).class_names == ("__background__", *"abcdefgh")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("maskrcnn_resnet18", "unknown model 'maskrcnn_resnet18': expected one of maskrcnn_resnet50_fpn, .*:factory"),
        ("model.pth", "There is no checkpoint model.pth"),
        ("maskrcnn_resnet50_fpn", "needs weights"),
    ],
)
def test_sources_that_do_not_exist(source: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        load_source(SourceOptions(source))


def test_models_of_no_family() -> None:
    with pytest.raises(
        UnsupportedModelError, match="cannot export a ReLU: expected torchvision's FasterRCNN, MaskRCNN or Key"
    ):
        load_source(SourceOptions("torch.nn:ReLU"))
    with pytest.raises(UnsupportedModelError, match="cannot export a Identity"):
        family_of(nn.Identity())


def test_each_family_has_a_name_of_its_own() -> None:
    names = [family.name for family in families()]
    assert len(set(names)) == len(names) > 0


def test_torch_is_not_imported_before_a_model_is_loaded() -> None:
    code = "import sys; import maskrt.export.families.base; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
