"""A source model in its own framework, by stand-ins that find what the real frameworks found."""

import copy
import sys

import numpy as np
import pytest
import torch

from maskrt.export.checkpoints.configs.base import Unknown
from maskrt.export.errors import SourceError
from maskrt.export.families.mmdet.network import TwoStageDetector
from maskrt.options import Thresholds

from ...support.golden import decode_masks
from ...support.installed import installed_frameworks
from ...support.references import picture, reference_model

DETECTRON2, MMDET = "d2_trained_shapes_R_18_FPN", "mm_trained_shapes_r18_fpn"
SCENE = "scene00002"


@pytest.fixture
def install():
    with installed_frameworks() as install:
        yield install


@pytest.mark.parametrize("name", [DETECTRON2, MMDET, "d2_faster_rcnn_R_50_FPN", "mm_faster-rcnn_r50_fpn"])
def test_the_framework_finds_what_is_in_a_picture(load, install, name):
    shown = SCENE if "trained" in name else "chelsea"
    model, reference = reference_model(name), load(name).reference()
    made = install(model, (shown,)).MADE
    golden, found = model.golden(shown), reference.detect(picture(shown))
    np.testing.assert_array_equal(found.boxes.numpy(), golden["boxes"])
    np.testing.assert_array_equal(found.scores.numpy(), golden["scores"])
    np.testing.assert_array_equal(found.labels.numpy(), golden["classes"] + 1)
    if "rle_counts" in golden:
        np.testing.assert_array_equal(found.masks.numpy(), decode_masks(golden))
    else:
        assert found.masks is None
    by = {"detectron2": "detectron2 0.6", "mmdet": "mmdet 3.3.0"}[model.framework]
    assert reference.computed_by == by
    assert reference.remark == f"What the source model finds is computed by {by}."
    assert len(made) == 1  # once, for all pictures
    reference.detect(picture(shown))
    assert len(made) == 1


@pytest.mark.parametrize("name", [DETECTRON2, MMDET])
def test_thresholds_go_into_the_config(load, install, name):
    model, reference = reference_model(name), load(name).reference()
    made = install(model, (SCENE,)).MADE
    found = reference.detect(picture(SCENE), Thresholds(score=0.5, nms=0.3))
    assert 0 < len(found) == (model.golden(SCENE)["scores"] > 0.5).sum()
    if model.framework == "detectron2":
        heads = made[0].MODEL.ROI_HEADS
        assert (heads.SCORE_THRESH_TEST, heads.NMS_THRESH_TEST) == (0.5, 0.3)
        assert made[0].MODEL.DEVICE == "cpu"
        assert (
            load(name).model.config.section("MODEL").section("FPN").get("OUT_CHANNELS")
            == made[0].MODEL.FPN.OUT_CHANNELS
        )
    else:
        rcnn = made[0].model.test_cfg.rcnn
        assert (rcnn.score_thr, rcnn.nms.iou_threshold) == (0.5, 0.3)
    assert reference.computed_by.startswith(model.framework)
    assert len(made) == 1


@pytest.mark.parametrize("name", [DETECTRON2, MMDET])
def test_where_it_is_not_installed_the_spec_is_computed(load, name):
    reference = load(name).reference()
    assert reference.computed_by == "PyTorch"
    framework = reference_model(name).framework
    assert reference.remark.endswith(f"computed by its spec in PyTorch: {framework} is not installed.")
    assert len(reference.detect(picture(SCENE))) == len(reference_model(name).golden(SCENE)["scores"])


def test_what_the_network_is_verified_with_is_the_spec(load, install):
    install(reference_model(MMDET), ())
    reference = load(MMDET).reference()
    canvas = reference.preprocess([picture(SCENE)])
    assert len(reference.infer(canvas)[0]) == len(reference_model(MMDET).golden(SCENE)["scores"])


def test_a_framework_that_cannot_run_the_model_is_told(load, install, monkeypatch):
    reference = load(MMDET).reference()
    install(reference_model(DETECTRON2), (SCENE,))  # other tensors
    assert reference.computed_by == "PyTorch"
    assert "PyTorch: mmdet 3.3.0 cannot run it (UnsupportedModelError: " in reference.remark
    assert len(reference.detect(picture(SCENE)))


def test_a_framework_that_cannot_be_imported_is_told(load, install, monkeypatch):
    monkeypatch.setitem(sys.modules, "detectron2.engine", None)
    reference = load(DETECTRON2).reference()
    assert "PyTorch: detectron2 0.6 cannot run it (ModuleNotFoundError: " in reference.remark


def test_an_older_mmdetection_is_told(load, install, monkeypatch):
    import mmdet

    monkeypatch.setattr(mmdet, "__version__", "2.28.2")
    reference = load(MMDET).reference()
    assert reference.remark.endswith("mmdet 2.28.2 cannot run it (UnsupportedModelError: expected mmdetection 3).")


def test_a_failure_on_a_picture_is_a_sentence(load, install):
    reference = load(DETECTRON2).reference()
    install(reference_model(DETECTRON2), ())
    with pytest.raises(SourceError, match=r"^detectron2 0.6 fails on a picture of 448x320 pixels: CUDA error: out of"):
        reference.detect(np.zeros((320, 448, 3), np.uint8))


@pytest.mark.parametrize("kind", ["subprocess.check_output", "mmdet.os.system", 7])
def test_a_config_that_would_run_something_is_not_given_to_mmengine(load, install, kind):
    source = load(MMDET)
    install(reference_model(MMDET), (SCENE,))
    values = copy.deepcopy(dict(source.model.config.values))
    values["model"]["roi_head"]["bbox_head"]["loss_cls"] = {"type": kind, "args": ["true"]}
    network = source.model
    hostile = TwoStageDetector(
        network.config.with_values(values), network.backbone, network.neck, network.rpn_head, network.roi_head
    )
    reference = source.family.reference(hostile.eval(), source.spec)
    assert f"its config has the type {kind!r} at model.roi_head.bbox_head.loss_cls" in reference.remark


def test_what_only_running_a_config_would_give_is_left_out(load, install):
    source = load(DETECTRON2)
    made = install(reference_model(DETECTRON2), (SCENE,)).MADE
    network = copy.copy(source.model)
    network.config = network.config.with_values({**network.config.values, "OTHER": Unknown("!!python/name:os.system")})
    assert len(source.family.reference(network, source.spec).detect(picture(SCENE)))
    assert "OTHER" not in made[0]


def test_numbers_have_the_types_that_detectron2_asks_for(load, install):
    source = load(DETECTRON2)
    made = install(reference_model(DETECTRON2), (SCENE,)).MADE
    assert len(source.reference().detect(picture(SCENE), Thresholds(score=0)))
    assert isinstance(made[0].MODEL.ROI_HEADS.SCORE_THRESH_TEST, float)
    assert isinstance(made[0].MODEL.RPN.BBOX_REG_WEIGHTS, tuple)
    assert torch.is_tensor(source.model.roi_heads.box_predictor.cls_score.weight)
