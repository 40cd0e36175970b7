import sys

import numpy as np
import pytest

from maskrt.errors import DependencyError
from maskrt.runtime.transforms.filters.pillow_bilinear import FILTER, resize

from ....support.pillow_rules import by_the_rules


def random_sizes(rng: np.random.Generator) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """(height, width) before and after: up and down, one side or both, single pixels."""
    drawn = np.exp(rng.uniform(0, 5, (40, 4))).astype(int)
    drawn[::5, 2] = drawn[::5, 0]
    drawn[1::5, 3] = drawn[1::5, 1]
    return [((h, w), (new_h, new_w)) for h, w, new_h, new_w in drawn.tolist()]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_equals_the_arithmetic_written_out(rng: np.random.Generator, dtype: type) -> None:
    """Along x first; some images that shrink in height are resized along y first from Pillow 13 on."""
    for source, size in random_sizes(rng):
        image = rng.integers(0, 256, (*source, 3), dtype=np.uint8)
        canvas = np.full((size[0] + 2, size[1] + 3, 3), 7, dtype=dtype)
        resized = canvas[: size[0], : size[1]]
        resize(image, size, resized)
        expected = by_the_rules(image, size, (1, 0))
        if size[0] < source[0] and (resized != expected).any():
            expected = by_the_rules(image, size, (0, 1))
        np.testing.assert_array_equal(resized, expected, f"{source} to {size}")
        assert (canvas[size[0] :] == 7).all()
        assert (canvas[:, size[1] :] == 7).all()


def test_a_part_of_an_image(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    out, same = np.empty((2, 33, 44, 3), dtype=np.uint8)
    resize(image[5:50, 7:70], (33, 44), out)
    resize(image[5:50, 7:70].copy(), (33, 44), same)
    np.testing.assert_array_equal(out, same)


def test_without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DependencyError, match=r"pip install maskrt\[pillow\]"):
        FILTER.require()
