import argparse
from pathlib import Path

import pytest

from maskrt.evaluation.source_model import SourceModel, add_source_options, load_source
from maskrt.runtime import MaskrtError


def _load(*arguments: str) -> SourceModel:
    parser = argparse.ArgumentParser()
    add_source_options(parser)
    return load_source(parser.parse_args(arguments))


def test_the_demo_model_is_the_default():
    source = _load()
    assert not source.model.training
    assert source.class_names is not None
    assert source.class_names[:2] == ("__background__", "disk")


def test_class_names_of_a_file(tmp_path: Path):
    path = tmp_path / "names.txt"
    path.write_text("\n".join("abcdefgh"))
    assert _load("--class-names", str(path)).class_names == ("__background__", *"abcdefgh")
    path.write_text("a\nb\n")
    with pytest.raises(MaskrtError, match="has 8 classes besides the background, but got 2 class names"):
        _load("--class-names", str(path))


def test_what_is_no_model_of_ours():
    with pytest.raises(MaskrtError, match="needs weights"):
        _load("--model", "maskrcnn_resnet50_fpn")
    with pytest.raises(MaskrtError, match="cannot export a ReLU"):
        _load("--model", "torch.nn:ReLU")
