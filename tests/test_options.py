import argparse
from pathlib import Path

import pytest

from maskrt.errors import ArgumentError
from maskrt.options import LARGEST_PICTURE, add_key_option, api_key, named_path, picture_size
from maskrt.runtime.images.read import MAX_PIXELS


def test_sizes_of_pictures():
    assert picture_size("800x1333") == (800, 1333)


@pytest.mark.parametrize("text", ["800", "0x5", "5x0", "-1x5", "800X1333", "1e2x5", "123456x5", ""])
def test_no_size_of_a_picture(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"expected HEIGHTxWIDTH in pixels, as in 800x1333, got"):
        picture_size(text)


def test_pictures_that_are_decoded_alone():
    assert LARGEST_PICTURE == MAX_PIXELS
    with pytest.raises(argparse.ArgumentTypeError, match=r"expected at most 200,000,000 pixels, got 99999x99999"):
        picture_size("99999x99999")


def test_names():
    assert named_path("a/b") == Path("a/b")
    with pytest.raises(argparse.ArgumentTypeError, match=r"expected a name, got an empty one"):
        named_path("")


def read_key(path: Path | None) -> str | None:
    parser = argparse.ArgumentParser()
    add_key_option(parser, "a key")
    return api_key(parser.parse_args([] if path is None else ["--api-key-file", str(path)]))


def test_keys(tmp_path: Path):
    path = tmp_path / "key"
    assert read_key(None) is None
    path.write_text("correct-horse\n")
    assert read_key(path) == "correct-horse"
    for text in ("short", "two words here", "zwölf-zeichen", "a" * 8 + "\n" + "b" * 8, ""):
        path.write_text(text)
        with pytest.raises(ArgumentError, match="expected a key of at least 8 characters"):
            read_key(path)
    with pytest.raises(ArgumentError, match="Cannot read the API key"):
        read_key(tmp_path / "none")
