"""The checkpoints and configs that detectron2 and mmdetection themselves have written."""

from pathlib import Path

import numpy as np
import pytest

from maskrt.export.checkpoints import read_checkpoint
from maskrt.export.checkpoints.architecture import require_supported
from maskrt.export.checkpoints.configs.detectron2 import read_detectron2_config
from maskrt.export.checkpoints.configs.fit import check_mmdet, fit_detectron2
from maskrt.export.checkpoints.configs.mmdet import class_names, mmdet_config, read_mmdet_config
from maskrt.export.checkpoints.facts import detectron2_facts, mmdet_facts

from ...support.references import NAMES, ORIGINALS, reference_model


@pytest.mark.parametrize("name", NAMES)
def test_weights_and_config_fit(name: str, tmp_path: Path) -> None:
    model = reference_model(name)
    path = model.write_checkpoint(tmp_path)
    checkpoint = read_checkpoint(path)
    state = model.state()
    assert sorted(checkpoint.tensors) == sorted(state)
    assert all(np.array_equal(checkpoint.tensors[key].numpy(), value) for key, value in state.items())
    assert checkpoint.notes == ()
    found = require_supported(checkpoint)
    if model.framework == "detectron2":
        assert found.framework == "detectron2"
        config = read_detectron2_config(model.config)
        assert config.unknown == ()
        assert fit_detectron2(config, detectron2_facts(checkpoint.shapes), str(path)) is config
        assert ("Mask R-CNN" in found.name) == config.value("MODEL.MASK_ON")
    else:
        assert found.framework == "mmdetection"
        own, dumped = mmdet_config(checkpoint.meta, str(path)), read_mmdet_config(model.config)
        assert own is not None
        assert own.values["model"] == dumped.values["model"]
        check_mmdet(own, mmdet_facts(checkpoint.shapes), str(path))


def test_the_originals() -> None:
    zoo = read_checkpoint(reference_model("d2_mask_rcnn_R_101_FPN").folder / ORIGINALS["d2_mask_rcnn_R_101_FPN"])
    assert zoo.container == "pickle"
    assert zoo.meta == {"__author__": "Detectron2 Model Zoo"}
    runner = read_checkpoint(reference_model("mm_mask-rcnn_r50_fpn").folder / ORIGINALS["mm_mask-rcnn_r50_fpn"])
    assert runner.container == "torch zip"
    assert class_names(runner.meta) == ["box", "cone", "disk", "star", "wedge"]
    assert set(runner.meta) == {"meta", "message_hub", "optimizer", "param_schedulers"}
    assert runner.meta["meta"]["mmengine_version"] == "0.10.7"
