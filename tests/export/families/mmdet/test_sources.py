from pathlib import Path

import pytest
import torch

from maskrt.errors import MaskrtError
from maskrt.export.families.base import load_source
from maskrt.options import SourceOptions

from ....support.reference_models import source_options
from ....support.references import NAMES, reference_model

MMDET = [name for name in NAMES if name.startswith("mm_")]


@pytest.mark.parametrize("name", MMDET)
def test_every_weight_of_a_checkpoint_is_the_networks(load, name):
    state, model = reference_model(name).state(), load(name).model
    for key, value in model.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            torch.testing.assert_close(value, torch.from_numpy(state[key].copy()), rtol=0, atol=0)
    assert not model.training


def test_class_names_are_those_of_the_checkpoint(load):
    assert load("mm_mask-rcnn_r50_fpn").class_names == ("__background__", "box", "cone", "disk", "star", "wedge")


def test_a_config_given_takes_the_place_of_the_checkpoints(tmp_path):
    model = reference_model("mm_mask-rcnn_r50_fpn")
    config = tmp_path / "config.py"
    config.write_text(model.config.read_text(encoding="utf-8").replace("score_thr=0.05", "score_thr=0.3"), "utf-8")
    options = source_options(model, tmp_path)
    source = load_source(SourceOptions(options.source, config=config))
    assert source.spec.detection.score_threshold == 0.3


def test_a_checkpoint_without_config_needs_one(tmp_path):
    model = reference_model("mm_faster-rcnn_r50_fpn")
    options = source_options(model, tmp_path)
    content = torch.load(options.source, weights_only=True)
    torch.save({"meta": {}, "state_dict": content["state_dict"]}, options.source)
    with pytest.raises(MaskrtError, match=r"without its config.*--config config.py"):
        load_source(options)
    assert load_source(SourceOptions(options.source, config=model.config)).spec.mask_head is None


def test_a_config_of_another_model_is_refused(tmp_path):
    options = source_options(reference_model("mm_mask-rcnn_r50_fpn"), tmp_path)
    for other in ("mm_faster-rcnn_r50_fpn", "mm_mask-rcnn_x101-32x4d_fpn", "mm_mask-rcnn_r50_fpn_gn"):
        with pytest.raises(MaskrtError):
            load_source(SourceOptions(options.source, config=reference_model(other).config))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"weights": "COCO_V1"}, "--weights means nothing"),
        ({"num_classes": 6}, "--num-classes means nothing"),
        ({"checkpoint": Path("other.pth")}, "leave out --checkpoint"),
    ],
)
def test_options_that_mean_nothing_are_refused(tmp_path, given, words):
    options = source_options(reference_model("mm_mask-rcnn_r50_fpn"), tmp_path)
    with pytest.raises(MaskrtError, match=words):
        load_source(SourceOptions(options.source, **given))
