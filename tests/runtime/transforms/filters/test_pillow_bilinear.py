import math
import sys

import numpy as np
import pytest

from maskrt.errors import DependencyError
from maskrt.runtime.transforms.filters.pillow_bilinear import FILTER, resize

BITS = 22  # of the fraction of a weight


def weights(source_size: int, size: int) -> np.ndarray:
    """[size, source_size] int64: what each output pixel is the weighted sum of."""
    result = np.zeros((size, source_size), dtype=np.int64)
    scale = source_size / size
    reach = max(scale, 1.0)
    for o in range(size):
        centre = (o + 0.5) * scale
        first, end = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), source_size)
        triangle = [max(0.0, 1 - abs((i - centre + 0.5) / reach)) for i in range(first, end)]
        total = sum(triangle)
        result[o, first:end] = [math.floor(weight / total * (1 << BITS) + 0.5) for weight in triangle]
    return result


def by_the_rules(image: np.ndarray, size: tuple[int, int], order: tuple[int, int]) -> np.ndarray:
    """Along one axis, then along the other, rounded to uint8 each time; a side that keeps its length is left alone."""
    for axis in order:
        if image.shape[axis] != size[axis]:
            total = np.moveaxis(np.tensordot(weights(image.shape[axis], size[axis]), image, (1, axis)), 0, axis)
            image = np.clip((total + (1 << (BITS - 1))) >> BITS, 0, 255).astype(np.uint8)
    return image


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
