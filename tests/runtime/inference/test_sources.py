from pathlib import Path

import pytest

from maskrt.runtime.inference.find import find_images
from maskrt.runtime.inference.sources import unique_stems


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "b.jpg",
        "a.PNG",
        "notes.txt",
        "sub/c.webp",
        "sub/deep/d.tif",
        "empty/readme.md",
        "odd[1].jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["b.jpg"], ["b.jpg"]),
        (["b.jpg", "a.PNG", "b.jpg"], ["b.jpg", "a.PNG"]),  # the given order, once each
        (["."], ["a.PNG", "b.jpg", "odd[1].jpg", "sub/c.webp", "sub/deep/d.tif"]),
        (["sub"], ["sub/c.webp", "sub/deep/d.tif"]),
        (["*.jpg"], ["b.jpg", "odd[1].jpg"]),
        (["**/*.tif"], ["sub/deep/d.tif"]),
        (["*.txt"], ["notes.txt"]),  # a glob means what it says
        (["odd[1].jpg"], ["odd[1].jpg"]),  # exists, so it is no glob
        (["nowhere.jpg"], ["nowhere.jpg"]),  # reading it will say so
        (["x" * 1000], ["x" * 1000]),
    ],
)
def test_arguments(tree: Path, arguments: list[str], expected: list[str]) -> None:
    files, problems = find_images(arguments)
    assert [str(file) for file in files] == expected
    assert problems == []


def test_absolute_glob(tree: Path) -> None:
    assert find_images([f"{tree}/sub/*"]) == ([tree / "sub" / "c.webp"], [])


def test_arguments_without_images(tree: Path) -> None:
    files, problems = find_images(["empty", "*.gif", "b.jpg"])
    assert files == [Path("b.jpg")]
    assert problems == ["empty: there is no image in this folder.", "*.gif: no file matches."]


def test_result_names_never_meet() -> None:
    assert unique_stems(["x", "x", "X", "x_2", "y.1", "y.2"]) == ["x", "x_2", "X_3", "x_2_2", "y.1", "y.2"]
    assert unique_stems([]) == []


def test_a_file_that_cannot_be_looked_at_is_left_to_the_reader(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a folder that can be listed but not entered."""

    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refuse)
    assert find_images(["sub"]) == ([Path("sub/c.webp"), Path("sub/deep/d.tif")], [])
    assert find_images(["*.txt"]) == ([Path("notes.txt")], [])
