import cv2
import numpy as np
import pytest

from maskrt.runtime.transforms.filters.opencv_bilinear import resize

SIZES = [((48, 64), (80, 106)), ((108, 192), (74, 133)), ((37, 53), (37, 53)), ((1, 1), (8, 8)), ((10, 2000), (1, 133))]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(("source", "size"), SIZES)
def test_the_same_grey_levels_in_both_types(
    rng: np.random.Generator, source: tuple[int, int], size: tuple[int, int], dtype: type
) -> None:
    image = rng.integers(0, 256, (*source, 3), dtype=np.uint8)
    canvas = np.full((size[0] + 3, size[1] + 5, 3), 7, dtype=dtype)
    resize(image, size, canvas[: size[0], : size[1]])
    expected = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(canvas[: size[0], : size[1]], expected)
    assert (canvas[size[0] :] == 7).all()
    assert (canvas[:, size[1] :] == 7).all()


def test_a_part_of_an_image(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    out, same = np.empty((2, 33, 44, 3), dtype=np.uint8)
    resize(image[5:50, 7:70], (33, 44), out)
    resize(image[5:50, 7:70].copy(), (33, 44), same)
    np.testing.assert_array_equal(out, same)
