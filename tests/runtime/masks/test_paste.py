"""What holds for every paste rule, whatever is pasted."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from maskrt.contract.pipeline import PASTE_RULES, Paste
from maskrt.runtime.masks import paste as paste_module
from maskrt.runtime.masks.paste import paste_crops

from ...support.pasting import decode, encode, random_boxes, random_masks


@pytest.fixture(params=PASTE_RULES)
def paste(request: pytest.FixtureRequest) -> Paste:
    return Paste(request.param, 0.5)


def test_every_rule_is_there() -> None:
    assert set(paste_module.PASTE_RULES) == set(PASTE_RULES)


@pytest.mark.parametrize(
    "box",
    [
        [-50, -50, -10, -10],  # beside the image
        [200, 200, 300, 300],
        [30, 30, 10, 10],  # inverted
        [np.nan, 0, 10, 10],
        [0, 0, np.inf, 10],
        [-np.inf, -np.inf, np.inf, np.inf],
    ],
)
def test_boxes_without_pixels_give_empty_masks(box: list[float], paste: Paste) -> None:
    """Where the frameworks fail or allocate without bound."""
    boxes = np.array([box], dtype=np.float32)
    (text,) = encode(boxes, np.ones((1, 28, 28), dtype=np.float32), (100, 100), paste)
    assert not decode(text, (100, 100)).any()


def test_absurdly_large_box_covers_the_image(paste: Paste) -> None:
    boxes = np.array([[-1e30, -1e30, 1e30, 1e30]], dtype=np.float32)
    (text,) = encode(boxes, np.ones((1, 28, 28), dtype=np.float32), (100, 100), paste)
    assert decode(text, (100, 100)).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_a_number_in_a_mask_does_no_harm(rng: np.random.Generator, value: float, paste: Paste) -> None:
    masks = random_masks(rng, 5)
    masks[rng.random(masks.shape) < 0.1] = value
    boxes = random_boxes(rng, 5, (80, 80), beyond=True)
    for text in encode(boxes, masks, (80, 80), paste):
        assert decode(text, (80, 80)).shape == (80, 80)


def test_no_instances(paste: Paste) -> None:
    empty = np.zeros((0, 4), dtype=np.float32), np.zeros((0, 28, 28), dtype=np.float32), (10, 10), paste
    assert encode(*empty) == []
    assert list(paste_crops(*empty)) == []


def peak_memory(function: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def grows(measure: Callable[[int, tuple[int, int]], int]) -> bool:
    """Does the peak memory grow with the number of instances or with the image area?"""
    small, large = (1080, 1920), (4320, 7680)
    base = measure(100, small)
    return measure(400, small) > 1.5 * base or measure(100, large) > 1.5 * base


def test_peak_memory_grows_neither_with_the_image_nor_with_the_instances(
    rng: np.random.Generator, paste: Paste
) -> None:
    # All of one size and as noisy, so that every hundred of them takes the same.
    corners = rng.uniform(20, (1600, 780), (400, 2))
    boxes = np.concatenate((corners, corners + (280, 250)), axis=1).astype(np.float32)
    masks = rng.random((400, 28, 28), dtype=np.float32)

    def encoding(number: int, size: tuple[int, int]) -> int:
        return peak_memory(lambda: sum(map(len, encode(boxes[:number], masks[:number], size, paste))))

    def canvas(number: int, size: tuple[int, int]) -> int:
        """The negative control: a canvas per instance, of bytes, which would be the least."""
        return peak_memory(lambda: np.zeros((number, *size), dtype=np.uint8))

    assert not grows(encoding)
    assert encoding(400, (4320, 7680)) < 40e6  # a single float32 canvas of torchvision has 133 MB
    assert grows(canvas)
