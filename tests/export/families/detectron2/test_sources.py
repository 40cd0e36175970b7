import pickle
from pathlib import Path

import pytest
import torch

from maskrt.errors import MaskrtError
from maskrt.export.families.base import load_source
from maskrt.options import SourceOptions

from ....support.reference_models import source_options
from ....support.references import NAMES, reference_model

DETECTRON2 = [name for name in NAMES if name.startswith("d2_")]


def _edited(tmp_path: Path, edit) -> SourceOptions:
    """The Mask R-CNN with a changed state dict."""
    options = source_options(reference_model("d2_mask_rcnn_R_50_FPN"), tmp_path)
    content = torch.load(options.source, weights_only=True)
    edit(content["model"])
    torch.save(content, options.source)
    return options


@pytest.mark.parametrize("name", DETECTRON2)
def test_every_weight_of_a_checkpoint_is_the_networks(load, name):
    state, model = reference_model(name).state(), load(name).model
    assert not any(parameter.is_meta for parameter in model.state_dict().values())
    for key, value in model.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            torch.testing.assert_close(value, torch.from_numpy(state[key].copy()), rtol=0, atol=0)
    assert not model.training


def test_class_names_are_those_of_the_data_set(tmp_path):
    """The reference models say coco, but have 5 classes: those names are not theirs."""
    options = source_options(reference_model("d2_mask_rcnn_R_50_FPN"), tmp_path)
    assert load_source(options).class_names is None
    config = tmp_path / "config.yaml"
    text = options.config.read_text(encoding="utf-8").replace("- coco_2017_train", "- voc_2007_train")
    config.write_text(text.replace("NUM_CLASSES: 5", "NUM_CLASSES: 20"), encoding="utf-8")

    def widen(state) -> None:
        for part, rows in (
            ("box_predictor.cls_score", 21),
            ("box_predictor.bbox_pred", 80),
            ("mask_head.predictor", 20),
        ):
            for kind in ("weight", "bias"):
                old = state[f"roi_heads.{part}.{kind}"]
                state[f"roi_heads.{part}.{kind}"] = torch.zeros(rows, *old.shape[1:])

    widened = _edited(tmp_path, widen)
    names = load_source(SourceOptions(widened.source, config=config)).class_names
    assert names[:3] == ("__background__", "aeroplane", "bicycle")


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda s: s.pop("backbone.fpn_output3.weight"), "lacks 1 tensors, for example backbone.fpn_output3.weight"),
        (lambda s: s.update({"roi_heads.box_head.fc7.weight": torch.zeros(1)}), "more than the model: 1 tensors"),
        (lambda s: s.update({"backbone.fpn_output3.bias": torch.zeros(7)}), r"has the shape \[7\], expected \[32\]"),
    ],
)
def test_weights_of_another_model_are_refused(tmp_path, edit, words):
    with pytest.raises(MaskrtError, match=words) as caught:
        load_source(_edited(tmp_path, edit))
    assert "Give the config that this checkpoint was trained with." in str(caught.value)


def test_half_precision_weights_become_float32(tmp_path):
    def halve(state) -> None:
        # The drawn statistics are beyond half precision: as infinities they would be refused.
        state.update({key: value.half() for key, value in state.items() if not key.endswith("running_var")})

    model = load_source(_edited(tmp_path, halve)).model
    assert {value.dtype for key, value in model.state_dict().items() if not key.endswith("tracked")} == {torch.float32}


def test_names_of_wrappers_are_taken_off(tmp_path):
    def wrap(state) -> None:
        for key in list(state):
            state[f"module.{key}"] = state.pop(key)

    assert load_source(_edited(tmp_path, wrap)).spec.mask_head is not None


def test_a_checkpoint_needs_its_config(tmp_path):
    options = source_options(reference_model("d2_mask_rcnn_R_50_FPN"), tmp_path)
    with pytest.raises(MaskrtError, match=r"holds no config.*--config config.yaml"):
        load_source(SourceOptions(options.source))


def test_a_config_of_another_model_is_refused(tmp_path):
    options = source_options(reference_model("d2_mask_rcnn_R_50_FPN"), tmp_path)
    for other in ("d2_mask_rcnn_R_50_C4", "d2_rpn_retrained", "d2_mask_rcnn_R_101_FPN", "d2_faster_rcnn_R_50_FPN"):
        with pytest.raises(MaskrtError, match="of another model"):
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
    options = source_options(reference_model("d2_mask_rcnn_R_50_FPN"), tmp_path)
    with pytest.raises(MaskrtError, match=words):
        load_source(SourceOptions(options.source, config=options.config, **given))


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(MaskrtError, match=r"There is no checkpoint .*gone.pth"):
        load_source(SourceOptions(str(tmp_path / "gone.pth"), config=tmp_path / "config.yaml"))


def test_a_checkpoint_of_retinanet_is_named(tmp_path):
    path = tmp_path / "retina.pth"
    torch.save(
        {"model": {"head.cls_subnet.0.weight": torch.zeros(1), "backbone.bottom_up.stem.conv1.weight": torch.zeros(1)}},
        path,
    )
    with pytest.raises(MaskrtError, match="RetinaNet"):
        load_source(SourceOptions(str(path)))


def test_a_pickle_that_would_run_code_runs_nothing(tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"model": {"backbone.weight": Evil()}, "__author__": "Detectron2 Model Zoo"}))
    with pytest.raises(MaskrtError):
        load_source(SourceOptions(str(path), config=reference_model("d2_mask_rcnn_R_50_FPN").config))
    assert not (tmp_path / "ran").exists()


def test_a_model_of_the_zoo_with_own_weights_takes_their_number_of_classes(tmp_path, monkeypatch):
    """The zoo's models are wide, so this builds one for the config's widths without weights."""
    from maskrt.export.families.detectron2 import sources

    options = source_options(reference_model("d2_mask_rcnn_R_50_FPN"), tmp_path)
    built = load_source(
        SourceOptions("detectron2:COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x", checkpoint=Path(options.source))
    )
    assert (built.spec.detection.num_labels, built.class_names) == (6, None)
    with pytest.raises(MaskrtError, match="no published"):
        load_source(SourceOptions("detectron2:COCO-InstanceSegmentation/mask_rcnn_R_51_FPN_3x"))
    assert sources.PREFIX == "detectron2:"
