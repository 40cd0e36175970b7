from collections.abc import Callable

import numpy as np
import pytest
import torch

from maskrt.runtime.transforms.filters.bilinear import resize_float32, resize_uint8

SIZES = [
    ((480, 640), (800, 1066)),
    ((1080, 1920), (749, 1333)),
    ((2160, 3840), (749, 1333)),
    ((37, 53), (37, 53)),
    ((1, 1), (800, 800)),
    ((10, 20000), (1, 1333)),
    ((20000, 10), (1333, 1)),
    ((3, 100), (40, 1333)),
]


def interpolate(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].float().contiguous()
    resized = torch.nn.functional.interpolate(planes, size=size, mode="bilinear", align_corners=False)
    return resized[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize(("source", "size"), SIZES)
def test_float32_equals_torch(rng: np.random.Generator, source: tuple[int, int], size: tuple[int, int]) -> None:
    """Noise from black to white, the hardest image: differences are rounding (one float32 ulp is 1.5e-5)."""
    image = rng.integers(0, 256, (*source, 3), dtype=np.uint8)
    resized = np.empty((*size, 3), dtype=np.float32)
    resize_float32(image, size, resized)
    assert np.abs(resized - interpolate(image, size)).max() < 1e-4


@pytest.mark.parametrize(("source", "size"), SIZES)
def test_uint8_is_within_a_grey_level(rng: np.random.Generator, source: tuple[int, int], size: tuple[int, int]) -> None:
    image = rng.integers(0, 256, (*source, 3), dtype=np.uint8)
    resized = np.empty((*size, 3), dtype=np.uint8)
    resize_uint8(image, size, resized)
    # Beside the rounding of the result: 20000 pixels are the end of OpenCV's fixed-point precision.
    tolerance = 1.1 if max(source) > 10000 else 1.0
    assert np.abs(resized - interpolate(image, size)).max() <= tolerance


@pytest.mark.parametrize(("resize", "dtype"), [(resize_float32, np.float32), (resize_uint8, np.uint8)])
def test_writes_into_a_part_of_a_canvas(rng: np.random.Generator, resize: Callable[..., None], dtype: type) -> None:
    image = rng.integers(1, 256, (31, 47, 3), dtype=np.uint8)[:, ::-1]
    canvas: np.ndarray = np.zeros((64, 96, 3), dtype=dtype)
    resize(image, (50, 70), canvas[:50, :70])
    assert (canvas[:50, :70] > 0).all()
    assert not canvas[50:].any()
    assert not canvas[:, 70:].any()
