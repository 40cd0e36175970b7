import os
from pathlib import Path

import pytest

from maskrt.errors import ArgumentError
from maskrt.files import replacing
from maskrt.runtime.inference.output import check_apart, make_writable


def test_a_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    make_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ArgumentError, match=r"cannot be written: .* Choose another with --output"):
            make_writable(folder)


OUTPUTS = ("instances.json", "instances.jsonl", "results.json", "clip.mp4", "clip.jsonl", "clip.partial.mp4")


def files(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [folder / name for name in names]


def test_inputs_beside_the_results(tmp_path: Path) -> None:
    """Only what has the name of a result is in the way; what is missing is none of ours."""
    output = tmp_path / "out"
    given = files(tmp_path, "out/a.jpg", "out/clip.mov", "clip.mp4", "instances.json")
    outputs = [output / name for name in OUTPUTS]
    check_apart([*given, Path("camera:0"), tmp_path / "missing.jpg"], outputs, [output / "overlays"])


@pytest.mark.parametrize("name", [*OUTPUTS, "overlays/a.jpg"])
@pytest.mark.parametrize("link", ["none", "symbolic", "hard"])
def test_inputs_where_the_results_go(tmp_path: Path, name: str, link: str) -> None:
    output = tmp_path / "out"
    (given,) = files(output, name)
    if link != "none" and not name.startswith("overlays"):
        other = tmp_path / "other.jpg"
        if link == "hard":
            other.hardlink_to(given)
        else:
            other.symlink_to(given)
        given = other
    with pytest.raises(ArgumentError, match="lies where the results go, and would be replaced"):
        check_apart([tmp_path / "b.jpg", given], [output / name for name in OUTPUTS], [output / "overlays"])


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_results_that_are_no_files(tmp_path: Path, name: str, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(tmp_path / name)
    elif kind == "device":
        (tmp_path / name).symlink_to("/dev/null")
    else:
        (tmp_path / name).mkdir()
    with pytest.raises(ArgumentError, match=r"Cannot write .*: it is"):
        check_apart([], [tmp_path / name for name in OUTPUTS], [])


def test_what_killed_runs_left_is_removed(tmp_path: Path) -> None:
    killed = tmp_path / ".maskrt-1-0.tmp"
    killed.write_bytes(b"half")
    other = tmp_path / ".mine.tmp"
    other.touch()
    with replacing(tmp_path / "a.json") as at_work:
        make_writable(tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted([at_work, other])
        at_work.write_bytes(b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.tmp", "a.json"]
