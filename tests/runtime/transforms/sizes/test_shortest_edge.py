import pytest

from maskrt.contract.pipeline import Resize
from maskrt.runtime.transforms.sizes.shortest_edge import new_size


@pytest.mark.parametrize(
    ("min_size", "max_size", "height", "width", "expected"),
    [  # what detectron2's own inference gave
        (320, 560, 246, 288, (320, 375)),
        (320, 560, 265, 362, (320, 437)),
        (320, 560, 268, 372, (320, 444)),
        (320, 560, 302, 308, (320, 326)),
        (320, 560, 347, 228, (487, 320)),
        (320, 560, 354, 253, (448, 320)),
        (320, 560, 383, 268, (457, 320)),
        (320, 560, 512, 512, (320, 320)),
        (480, 640, 300, 451, (426, 640)),
        (480, 640, 301, 233, (620, 480)),
        (480, 640, 400, 600, (427, 640)),
        (800, 1333, 300, 451, (800, 1203)),
        (800, 1333, 301, 233, (1033, 800)),
        (800, 1333, 400, 600, (800, 1200)),
    ],
)
def test_sizes_of_the_framework(
    min_size: int, max_size: int, height: int, width: int, expected: tuple[int, int]
) -> None:
    assert new_size(height, width, Resize("shortest_edge", "pillow_bilinear", min_size, max_size)) == expected


def test_a_min_size_of_0_leaves_images_as_they_are() -> None:
    policy = Resize("shortest_edge", "pillow_bilinear", 0, 1333)
    for size in ((1, 1), (300, 451), (3000, 2000)):
        assert new_size(*size, policy) == size


def test_a_side_is_never_zero() -> None:
    """On which detectron2 fails."""
    policy = Resize("shortest_edge", "pillow_bilinear", 800, 1333)
    assert new_size(2, 20000, policy) == (1, 1333)
    assert new_size(20000, 2, policy) == (1333, 1)
