"""What a folder stands for, and what is said of the rest."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskrt.errors import ImageError
from maskrt.runtime import read_image
from maskrt.runtime.images.header import OTHER_FORMATS
from maskrt.runtime.inference.find import IMAGE_SUFFIXES, find_inputs
from maskrt.runtime.video.reader import VIDEO_SUFFIXES


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
@pytest.mark.parametrize("upper", [False, True])
def test_pictures_in_a_folder(tmp_path: Path, suffix: str, upper: bool) -> None:
    name = f"a{suffix.upper() if upper else suffix}"
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / name).write_bytes(cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes())
    found = find_inputs([str(tmp_path)])
    assert found.images == [tmp_path / "sub" / name]
    assert found[1:] == ([], [], [])


@pytest.mark.parametrize("suffix", sorted(VIDEO_SUFFIXES))
def test_videos_in_a_folder(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"clip{suffix}").touch()
    found = find_inputs([str(tmp_path)])
    assert found.videos == [str(tmp_path / f"clip{suffix}")]
    assert not found.problems


@pytest.mark.parametrize("suffix", sorted(OTHER_FORMATS))
def test_pictures_that_cannot_be_read_here(tmp_path: Path, suffix: str) -> None:
    """They are named, with what mends it, whatever else is in the folder."""
    for name in ("a.jpg", f"b{suffix}", f"c{suffix.upper()}"):
        (tmp_path / name).touch()
    found = find_inputs([str(tmp_path)])
    assert found.images == [tmp_path / "a.jpg"]
    (problem,) = found.problems
    assert f"2 pictures in {suffix} cannot be read here, {tmp_path / f'b{suffix}'} for one. Convert them" in problem


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x18ftypmif1", "HEIC"),
        (b"\0\0\0\x1cftypavif", "AVIF"),
        (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x4f\xff\x51", "JPEG 2000"),
        (b"8BPS\0\1", "Photoshop"),
        (b"v/1\x01", "OpenEXR"),
        (b"#?RADIANCE\n", "Radiance"),
        (b"P6\n2 2\n255\n", "PPM"),
        (b"P5 2 2 255 ", "PGM"),
        (b"\0\0\1\0\1\0", "icon"),
        (b"<svg xmlns", "SVG"),
        (b"%PDF-1.7", "PDF"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"\0\0\0\x18ftypcrx ", "raw"),
        (b"FUJIFILMCCD-RAW", "raw"),
        (b"IIRO\x08\0", "raw"),
        (b"IIU\0\x18\0", "raw"),
    ],
)
def test_their_content_under_another_name(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content + bytes(200))
    with pytest.raises(ImageError, match=rf"is not an image that can be read here, but {name} .* Convert them"):
        read_image(path)


def test_what_is_no_picture_is_counted(tmp_path: Path) -> None:
    for name in ("a.jpg", "notes.txt", "more.txt", "labels.json", "README"):
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "pipe.jpg")
    found = find_inputs([str(tmp_path)])
    assert found.images == [tmp_path / "a.jpg"]
    assert found.problems == []
    (skipped,) = found.skipped
    assert "4 other files passed over (2 with .txt, " in skipped
