from pathlib import Path

import pytest

from maskrt.errors import ArgumentError
from maskrt.runtime.inference.output import check_apart, make_writable
from maskrt.runtime.inference.sources import Inputs


def test_a_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    make_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ArgumentError, match=r"cannot be written: .* Choose another with --output"):
            make_writable(folder)


def test_inputs_where_the_results_go(tmp_path: Path) -> None:
    """Only what has the name of a result: overlays below, and MP4 files."""
    output = tmp_path / "out"
    check_apart(
        Inputs([output / "a.jpg"], [str(output / "clip.mov"), str(tmp_path / "clip.mp4"), "camera:0"], []), output
    )
    for inputs in (Inputs([output / "overlays" / "a.jpg"], [], []), Inputs([], [str(output / "clip.MP4")], [])):
        with pytest.raises(ArgumentError, match="lies where the results go, and would be replaced"):
            check_apart(inputs, output)
