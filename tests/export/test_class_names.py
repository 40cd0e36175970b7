from pathlib import Path

import pytest

from maskrt.errors import ArgumentError, MaskrtError
from maskrt.export.class_names import fit_class_names, read_class_names


def test_names_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_text("größe\n\n  dog \n", encoding=encoding)
        assert read_class_names(path) == ["__background__", "größe", "dog"]
    path.write_text("__background__\ncat\n")
    assert read_class_names(path) == ["__background__", "cat"]
    path.write_bytes("größe".encode("latin-1"))
    with pytest.raises(MaskrtError, match=r"names\.txt: expected text in UTF-8"):
        read_class_names(path)
    with pytest.raises(MaskrtError, match=r"Cannot read the class names .*: it is a folder"):
        read_class_names(tmp_path)


def test_with_and_without_the_background() -> None:
    assert fit_class_names(["cat", "dog"], 3, "got") == ("__background__", "cat", "dog")
    assert fit_class_names(["__background__", "cat", "dog"], 3, "got") == ("__background__", "cat", "dog")
    assert fit_class_names(["nothing", "cat", "dog"], 3, "got") == ("nothing", "cat", "dog")


@pytest.mark.parametrize("names", [[], ["cat"], ["__background__", "cat"], ["cat", "dog", "bird", "fish"]])
def test_another_number_of_names_than_of_classes(names: list[str]) -> None:
    count = sum(name != "__background__" for name in names)
    with pytest.raises(ArgumentError, match=f"has 2 classes besides the background, but got {count} class names; give"):
        fit_class_names(names, 3, "got")


def test_names_that_are_no_text() -> None:
    with pytest.raises(ArgumentError, match="class names must be text, but got 1"):
        fit_class_names([1, 2], 3, "got")  # type: ignore[list-item]


@pytest.mark.parametrize(
    "first",
    [
        "__background__",
        "background",
        "_background_",
        "Background",
        "BG",
        "__ignore__\n_background_",
        "\ufeffbackground",
    ],
)
def test_the_background_under_its_usual_names(tmp_path: Path, first: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(f"{first}\ncat\ndog\n", encoding="utf-8")
    names = fit_class_names(read_class_names(path), 3, "got")
    assert names[1:] == ("cat", "dog")


def test_a_class_that_is_called_background(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("background\ncat\n", encoding="utf-8")
    assert fit_class_names(read_class_names(path), 3, "got") == ("__background__", "background", "cat")


def test_one_name_too_many_is_no_background(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("bird\ncat\ndog\n", encoding="utf-8")
    with pytest.raises(ArgumentError, match=r"has 2 classes"):
        fit_class_names(read_class_names(path), 3, "got")
