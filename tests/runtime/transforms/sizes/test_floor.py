import numpy as np
import pytest
import torch
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from maskrt.contract.pipeline import Resize
from maskrt.runtime.transforms.sizes.floor import new_size


def policy(min_size: int = 800, max_size: int = 1333) -> Resize:
    return Resize("floor", "bilinear", min_size, max_size)


def torchvision_size(height: int, width: int, policy: Resize) -> tuple[int, ...]:
    transform = GeneralizedRCNNTransform(policy.min_size, policy.max_size, [0.0], [1.0]).eval()
    resized, _ = transform.resize(torch.zeros(1, 1, 1).expand(1, height, width))
    return tuple(resized.shape[-2:])


def test_equals_torchvision(rng: np.random.Generator) -> None:
    """The last bit of the scale decides whether a side is rounded down to one pixel less."""
    for limits in ((80, 133), (64, 96), (33, 100)):
        for height, width in rng.integers(1, 1000, (150, 2)).tolist():
            if min(height, width) * limits[1] < max(height, width):
                continue  # torchvision fails; see below
            assert new_size(height, width, policy(*limits)) == torchvision_size(height, width, policy(*limits))


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (500, 333), (427, 640), (999, 1000), (1333, 800)])
def test_equals_torchvision_at_full_size(size: tuple[int, int]) -> None:
    assert new_size(*size, policy()) == torchvision_size(*size, policy())


def test_a_side_is_never_zero() -> None:
    """20000x10 would become 1333x0.67, on which torchvision fails."""
    assert new_size(10, 20000, policy()) == (1, 1333)
    assert new_size(20000, 10, policy()) == (1333, 1)
