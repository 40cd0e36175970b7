import json

import pytest

from maskrt.calibration.choice import LayerChoice, read_kept_groups
from maskrt.runtime import ArgumentError

CHOICE = LayerChoice({"backbone": 70.0, "head": 30.0}, frozenset({"head"}), {"head": 0.0123})


def test_the_choice_is_given_back_in(tmp_path):
    path = tmp_path / "model.layers.json"
    path.write_text(CHOICE.to_json(precision="int8"))
    assert read_kept_groups(path, ["backbone", "head"]) == {"head"}
    assert json.loads(path.read_text())["precision"] == "int8"


def test_the_table_names_share_gain_and_precision():
    header, backbone, head = CHOICE.table("int8")
    assert header.split("  ")[0] == "layers"
    assert backbone.split() == ["backbone", "70.0%", "int8"]
    assert head.split() == ["head", "30.0%", "+0.0123", "fp16"]
    assert CHOICE.quantized_share == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "Cannot read the choice of layers"),
        ("hello", "is not a choice of layers"),
        ("{}", "is not a choice of layers"),
        ('{"fp16_layers": "head"}', "is not a choice of layers"),
        ('{"fp16_layers": 3}', "is not a choice of layers"),
        ('{"fp16_layers": ["neck", "head"]}', "layers that this model does not have: neck. It has backbone, head"),
    ],
)
def test_what_is_no_choice_for_this_model(tmp_path, content, message):
    path = tmp_path / "layers.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ArgumentError, match=message):
        read_kept_groups(path, ["backbone", "head"])
