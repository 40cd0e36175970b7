import pytest

from maskrt.export.checkpoints.configs.base import Config, Unknown
from maskrt.export.errors import UnsupportedModelError
from maskrt.export.families.config import Section

VALUES = {
    "a": {"count": 3, "number": 0.5, "flag": True, "text": "x", "list": [1, 2.5], "names": ["p", "q"], "none": None},
    "unknown": Unknown("my_function(3)"),
}
SECTION = Section.of(Config("config.yaml", VALUES)).section("a")


def test_values_of_each_kind():
    assert SECTION.count("count") == 3
    assert SECTION.number("count") == 3.0
    assert SECTION.number("number") == 0.5
    assert SECTION.flag("flag") is True
    assert SECTION.one_of("text", ("x", "y")) == "x"
    assert SECTION.numbers("list", 2) == (1.0, 2.5)
    assert SECTION.texts("names") == ("p", "q")


def test_defaults_take_the_place_of_what_is_absent_alone():
    assert SECTION.count("absent", 7) == 7
    assert SECTION.get("absent", None) is None
    assert SECTION.get("none") is None
    with pytest.raises(UnsupportedModelError, match=r"config.yaml says a.none as None; expected a whole number"):
        SECTION.count("none", 7)


@pytest.mark.parametrize(
    ("take", "message"),
    [
        (lambda s: s.count("absent"), r"config.yaml has no a.absent; expected a whole number from 1 to 16384."),
        (lambda s: s.count("flag"), "a.flag as True"),
        (lambda s: s.count("number"), "a.number as 0.5"),
        (lambda s: s.count("count", least=4), "from 4"),
        (lambda s: s.count("count", most=2), "to 2"),
        (lambda s: s.number("flag"), "a number"),
        (lambda s: s.number("text", least=0, most=1), "a number from 0 to 1"),
        (lambda s: s.flag("count"), "one of True, False"),
        (lambda s: s.one_of("text", ("y",)), "a.text as 'x'; expected 'y'"),
        (lambda s: s.one_of("count", (True,)), "True"),
        (lambda s: s.numbers("list", 3), "a list of 3 numbers"),
        (lambda s: s.numbers("names"), "a list of numbers"),
        (lambda s: s.counts("list"), "a list of whole numbers"),
        (lambda s: s.texts("list"), "a list of names"),
        (lambda s: s.section("list"), "a mapping"),
        (lambda s: Section({"big": 10**400}).number("big"), "a number"),
        (lambda s: Section({"nan": float("nan")}).number("nan"), "a number"),
        (lambda s: Section.of(Config("c", VALUES)).section("unknown"), r"as my_function\(3\); expected a mapping"),
    ],
)
def test_what_is_wrong_is_named(take, message):
    with pytest.raises(UnsupportedModelError, match=message) as caught:
        take(SECTION)
    assert str(caught.value).endswith(".")


def test_long_values_are_cut_short():
    with pytest.raises(UnsupportedModelError) as caught:
        Section({"list": ["x" * 10] * 1000}).flag("list")
    assert len(str(caught.value)) < 300
