from pathlib import Path

import pytest

from maskrt.export.checkpoints import CheckpointError
from maskrt.export.checkpoints.names import rename_modules, unwrap

NAMES = ("backbone.body.conv1.weight", "rpn.head.conv.weight", "roi_heads.box_head.fc6.weight")
FILE = Path("mine.pth")


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "module.",
        "model.",
        "_orig_mod.",
        "module.model.",
        "model.module._orig_mod.",
        "_forward_module._fsdp_wrapped_module.",
        "ema.",
        "ema_",
        "ema_model.module.",
        "student.",
        "teacher.",
        "modelTeacher.",
        "self.net.detector.",
        "a.b.c.d.e.f.",
    ],
)
def test_prefixes_are_taken_off_to_any_depth(prefix):
    unwrapped = unwrap([prefix + name for name in NAMES], FILE)
    assert dict(unwrapped.saved) == {name: prefix + name for name in NAMES}
    assert not unwrapped.left_out
    assert bool(unwrapped.removed) == bool(prefix)


@pytest.mark.parametrize(
    "name",
    [
        "backbone.module.body.conv1.weight",
        "backbone._orig_mod.body.conv1.weight",
        "backbone.body._checkpoint_wrapped_module.conv1.weight",
        "_orig_mod.backbone.body.module.conv1._orig_mod.weight",
    ],
)
def test_words_of_wrappers_are_taken_off_anywhere(name):
    assert unwrap([name, *NAMES[1:]], FILE).saved[NAMES[0]] == name


@pytest.mark.parametrize(
    "names",
    [
        NAMES,
        ("backbone.0.weight", "neck.fpn_convs.0.conv.weight"),
        ("backbone.bottom_up.stem.conv1.weight", "proposal_generator.rpn_head.conv.weight"),
        ("conv1.weight", "layer1.0.conv1.weight"),
        ("layer1.0.weight", "module_list.weight", "remodel.weight"),
    ],
)
def test_names_without_wrappers_stay(names):
    assert list(unwrap(names, FILE).saved) == list(names)


def test_what_is_not_the_detectors_is_left_out():
    names = [f"model.{name}" for name in NAMES] + ["criterion.weight", "metric.total", "n_averaged"]
    unwrapped = unwrap(names, FILE, counters=["n_averaged"])
    assert list(unwrapped.saved) == list(NAMES)
    assert unwrapped.left_out == ("n_averaged", "criterion.weight", "metric.total")


@pytest.mark.parametrize("other", ["ema.", "ema_", "model_ema.", "ema_model.module.", "averaged_model."])
def test_the_models_own_weights_before_averages(other):
    for own in ("", "model."):
        names = [own + name for name in NAMES] + [other + name for name in NAMES]
        unwrapped = unwrap(names, FILE)
        assert dict(unwrapped.saved) == {name: own + name for name in NAMES}
        assert not unwrapped.left_out
        assert unwrapped.others == (other.partition(".")[0],)


@pytest.mark.parametrize(("teacher", "student"), [("teacher.", "student."), ("modelTeacher.", "modelStudent.")])
def test_the_teacher_unless_the_student_is_wanted(teacher, student):
    names = [who + name for who in (student, teacher) for name in NAMES]
    assert unwrap(names, FILE).saved[NAMES[0]] == teacher + NAMES[0]
    assert unwrap(names, FILE, prefer_student=True).saved[NAMES[0]] == student + NAMES[0]


def test_two_models_and_two_names_that_become_one():
    with pytest.raises(CheckpointError, match=r"two models, under 'a\.' and under 'b\.'"):
        unwrap([f"{who}.{name}" for who in "ab" for name in NAMES], FILE)
    with pytest.raises(CheckpointError, match=r"'module\.backbone.*which are one name"):
        unwrap([*NAMES, "module." + NAMES[0]], FILE)


def test_modules_are_renamed_as_their_tensors_are():
    renamed = rename_modules({"module.model.backbone.body.conv1.weight": "backbone.body.conv1.weight", "n": "n"})
    assert renamed["module.model.backbone.body.conv1"] == "backbone.body.conv1"
    assert renamed["module.model.backbone"] == "backbone"
    assert renamed["module.model"] == ""


def test_many_names_and_many_words_take_no_time():
    deep = ".".join("a" * 1000) + ".weight"
    wide = [f"part{number}.weight" for number in range(20_000)]
    assert len(unwrap([deep, *wide], FILE).saved) == 20_001
