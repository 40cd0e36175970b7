from dataclasses import replace
from pathlib import Path

import pytest

from maskrt.evaluation.source_model import load_source
from maskrt.options import SourceOptions
from maskrt.runtime import MaskrtError

DEMO = SourceOptions("maskrt.shapes.model:shapes_model")


def test_a_model_that_names_its_classes():
    source = load_source(DEMO)
    assert not source.model.training
    assert source.class_names is not None
    assert source.class_names[:2] == ("__background__", "disk")


def test_class_names_of_a_file(tmp_path: Path):
    path = tmp_path / "names.txt"
    path.write_text("\n".join("abcdefgh"))
    named = replace(DEMO, class_names=path)
    assert load_source(named).class_names == ("__background__", *"abcdefgh")
    path.write_text("a\nb\n")
    with pytest.raises(MaskrtError, match="has 8 classes besides the background, but got 2 class names"):
        load_source(named)


def test_what_is_no_model_of_ours():
    with pytest.raises(MaskrtError, match="needs weights"):
        load_source(SourceOptions("maskrcnn_resnet50_fpn"))
    with pytest.raises(MaskrtError, match="cannot export a ReLU"):
        load_source(SourceOptions("torch.nn:ReLU"))
