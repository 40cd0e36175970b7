"""A family that maskrt does not have: one module and one line of the registry, and every verb knows its models."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import pytest

from maskrt.contract.metadata import parse_metadata
from maskrt.export.cli import main
from maskrt.export.families import base
from maskrt.options import SourceOptions

from ...support import tiny_family


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line."""
    monkeypatch.setitem(sys.modules, "tiny_family", tiny_family)
    monkeypatch.setattr(base, "_FAMILIES", (*base._FAMILIES, "tiny_family"))


@pytest.mark.parametrize("source", ["tiny:detectron2", pytest.param("tiny:mmdetection", marks=pytest.mark.slow)])
def test_its_models_are_exported_and_verified_with_its_reference(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Graph and functions in ONNX Runtime with the choices of frameworks whose models are not here."""
    path = tmp_path / "model.onnx"
    assert main([source, "--input-type", "float32", "-o", str(path)]) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert " 0 without a counterpart" in printed
    model = onnx.load(path)
    metadata = parse_metadata({entry.key: entry.value for entry in model.metadata_props}, "model.onnx")
    assert metadata.class_names == ("__background__", "disk", "ring", "star", "bar")
    assert metadata.pipeline == tiny_family.SPECS[source].pipeline
    assert metadata.model_family == "tiny"
    names = {initializer.name for initializer in model.graph.initializer}
    assert {"backbone.stem.weight", "rpn_head.logits.weight", "box_heads.0.scores.weight"} <= names


def test_its_names_are_among_those_that_messages_list() -> None:
    with pytest.raises(base.SourceError, match=r"expected one of maskrcnn_resnet50_fpn, .*, or one of tiny:torch"):
        base.load_source(SourceOptions("unknown"))
    source = base.load_source(SourceOptions("tiny:torchvision"))
    assert (source.family.name, source.spec) == ("tiny", tiny_family.SPECS["tiny:torchvision"])
