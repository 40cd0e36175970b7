import pytest

from maskrt.contract.pipeline import Resize
from maskrt.runtime.transforms.sizes.fit import new_size


@pytest.mark.parametrize(
    ("min_size", "max_size", "height", "width", "expected"),
    [  # what mmdetection's own inference gave
        (320, 560, 246, 288, (320, 375)),
        (320, 560, 265, 362, (320, 437)),
        (320, 560, 347, 228, (487, 320)),
        (320, 560, 354, 253, (448, 320)),
        (320, 560, 383, 268, (457, 320)),
        (600, 1000, 300, 451, (600, 902)),
        (600, 1000, 301, 233, (775, 600)),
        (600, 1000, 400, 600, (600, 900)),
        (800, 1333, 300, 451, (800, 1203)),
        (800, 1333, 301, 233, (1033, 800)),
        (800, 1333, 512, 512, (800, 800)),
    ],
)
def test_sizes_of_the_framework(
    min_size: int, max_size: int, height: int, width: int, expected: tuple[int, int]
) -> None:
    assert new_size(height, width, Resize("fit", "opencv_bilinear", min_size, max_size)) == expected


def test_the_longer_side_may_decide() -> None:
    policy = Resize("fit", "opencv_bilinear", 800, 1333)
    assert new_size(1080, 1920, policy) == (750, 1333)
    assert new_size(1920, 1080, policy) == (1333, 750)


def test_a_side_is_never_zero() -> None:
    """On which mmcv fails."""
    policy = Resize("fit", "opencv_bilinear", 800, 1333)
    assert new_size(2, 20000, policy) == (1, 1333)
    assert new_size(20000, 2, policy) == (1333, 1)
