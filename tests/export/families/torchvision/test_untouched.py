"""Parts of a model that are torchvision's class and do something else are refused by name."""

from __future__ import annotations

import types
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from maskrt.export.errors import UnsupportedModelError
from maskrt.export.families.torchvision.support import check_supported
from maskrt.export.families.torchvision.untouched import _methods, check_untouched

from ....support.torchvision_models import small_backbone, small_mask_rcnn, small_options

PARTS = (
    "transform",
    "rpn",
    "rpn.anchor_generator",
    "rpn.box_coder",
    "roi_heads",
    "roi_heads.box_coder",
    "roi_heads.box_roi_pool",
    "roi_heads.mask_roi_pool",
)


def _part(model: nn.Module, name: str) -> Any:
    part: Any = model
    for word in name.split(".") if name != "model" else ():
        part = getattr(part, word)
    return part


_MODEL = small_mask_rcnn()
METHODS = [
    (name, method) for name in ("model", *PARTS) for method in _methods(type(_part(_MODEL, name))) if method[:2] != "__"
]


def test_the_methods_are_those_that_people_replace() -> None:
    known = {
        ("transform", "resize"),
        ("transform", "normalize"),
        ("transform", "postprocess"),
        ("rpn", "filter_proposals"),
        ("rpn.anchor_generator", "grid_anchors"),
        ("rpn.box_coder", "decode"),
        ("roi_heads", "postprocess_detections"),
        ("roi_heads.box_coder", "decode_single"),
        ("roi_heads.mask_roi_pool", "forward"),
        ("model", "forward"),
    }
    assert known < set(METHODS)
    check_supported(small_mask_rcnn())


@pytest.mark.parametrize(("name", "method"), METHODS)
def test_a_method_replaced_on_the_instance(name: str, method: str) -> None:
    for replacement in (lambda *inputs: inputs, types.MethodType(lambda self, *inputs: inputs, nn.Identity())):
        model = small_mask_rcnn()
        part = _part(model, name)
        # As `part.method = …` does, or a context manager that patches objects.
        part.__dict__[method] = replacement
        with pytest.raises(UnsupportedModelError, match=f"{name}.{method} is replaced on the instance"):
            check_supported(model)


@pytest.mark.parametrize(("name", "method"), METHODS)
def test_a_method_replaced_in_torchvisions_class(name: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_mask_rcnn()
    kind = next(kind for kind in type(_part(model, name)).__mro__ if method in vars(kind))
    if kind is nn.Module:
        kind = type(_part(model, name))
    monkeypatch.setattr(kind, method, lambda self, *inputs: inputs)
    # Two parts may have one class, so the part itself is looked at.
    with pytest.raises(UnsupportedModelError, match=rf"{name}.{method} is replaced by (tests|the class)"):
        check_untouched(name, _part(model, name), GeneralizedRCNN if name == "model" else kind, subclasses=True)
    with pytest.raises(UnsupportedModelError, match=rf"{method} is replaced by (tests|the class)"):
        check_supported(model)


@pytest.mark.parametrize("register", ["register_forward_hook", "register_forward_pre_hook"])
@pytest.mark.parametrize("name", ["model", *(name for name in PARTS if not name.endswith("box_coder"))])
def test_hooks(name: str, register: str) -> None:
    model = small_mask_rcnn()
    part = _part(model, name)
    handle = getattr(part, register)(lambda *inputs: None)
    with pytest.raises(UnsupportedModelError, match=f"{name} has a forward (pre-)?hook, which the exported file would"):
        check_supported(model)
    handle.remove()
    check_supported(model)


@pytest.mark.parametrize("name", PARTS)
def test_a_derived_class_of_a_part(name: str) -> None:
    model = small_mask_rcnn()
    part = _part(model, name)
    part.__class__ = type("Mine", (type(part),), {})
    with pytest.raises(UnsupportedModelError, match=f"its {name} is a Mine, expected torchvision's"):
        check_supported(model)


class Named(FasterRCNN):
    """Builds its parts in its own way, and does what torchvision does."""

    def __init__(self) -> None:
        super().__init__(small_backbone(), **small_options())
        self.note = "mine"

    def describe(self) -> str:
        return self.note


class Filtered(Named):
    def forward(self, images: Any, targets: Any = None) -> Any:
        return super().forward(images, targets)[:1]


def test_a_derived_class_of_the_model() -> None:
    check_supported(Named().eval())
    with pytest.raises(UnsupportedModelError, match=r"model\.forward is replaced by the class Filtered"):
        check_supported(Filtered().eval())


def test_layers_may_have_hooks_and_methods_of_their_own() -> None:
    """They are run as they are when the graph is made."""
    model = small_mask_rcnn()
    model.roi_heads.box_head.register_forward_hook(lambda *inputs: None)
    model.backbone.forward = model.backbone.forward  # type: ignore[method-assign]
    check_supported(model)


def test_the_classes_that_are_looked_at_are_torchvisions() -> None:
    assert GeneralizedRCNN in MaskRCNN.__mro__
    assert torch.nn.Module.forward.__module__.startswith("torch.")
