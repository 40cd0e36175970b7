from pathlib import Path

import cv2
import numpy as np
import pytest

from maskrt.errors import ArgumentError
from maskrt.evaluation.bench.pictures import gather_pictures, make_batches, resize_pictures
from maskrt.runtime import read_image


def test_first_files_of_a_folder(tmp_path: Path) -> None:
    for name in "cab":
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((4, 4, 3), np.uint8))
    assert gather_pictures([str(tmp_path)], 2) == [tmp_path / "a.png", tmp_path / "b.png"]


@pytest.mark.parametrize("argument", ["*.nothing", "."])
def test_no_image_is_a_sentence(argument: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"no file matches|no image in this folder"):
        gather_pictures([str(tmp_path / argument)], 1)


def test_pictures_are_stretched_to_the_size(demo_scenes: Path, tmp_path: Path) -> None:
    (file,) = gather_pictures([str(demo_scenes.parent)], 1)
    (stretched,) = resize_pictures([file], (48, 96), tmp_path)
    small = cv2.resize(read_image(file), (96, 48), interpolation=cv2.INTER_CUBIC)
    assert np.abs(read_image(stretched).astype(int) - small).mean() < 5  # JPEG


def test_batches_go_around() -> None:
    a, b, c = (Path(name) for name in "abc")
    assert make_batches([a, b, c], 2) == [[a, b], [b, c], [c, a]]
    assert make_batches([a], 3) == [[a, a, a]]
