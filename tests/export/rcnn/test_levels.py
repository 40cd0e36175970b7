import numpy as np
import pytest
import torch
from torchvision.ops.poolers import LevelMapper

from maskrt.export.rcnn.levels import level_thresholds


@pytest.mark.parametrize(
    ("k_min", "k_max", "canonical_scale", "canonical_level"), [(2, 5, 224, 4), (3, 6, 224, 4), (2, 4, 160, 3)]
)
def test_same_level_as_torchvision_at_the_borders_and_between(k_min, k_max, canonical_scale, canonical_level):
    mapper = LevelMapper(k_min, k_max, canonical_scale, canonical_level)
    thresholds = np.array(level_thresholds(mapper), np.float32)
    assert len(thresholds) == k_max - k_min
    near = [np.nextafter(t, np.float32(s)) for t in thresholds for s in (0, np.inf)]
    sizes = np.concatenate([thresholds, near, np.exp(np.random.default_rng().uniform(-3, 8, 20_000))]).astype(
        np.float32
    )
    # A box of this width and height 1 has an area of its width; LevelMapper takes the root of it.
    areas = (sizes.astype(np.float64) ** 2).astype(np.float32)
    boxes = torch.zeros(len(areas), 4)
    boxes[:, 2], boxes[:, 3] = torch.from_numpy(areas), 1
    expected = mapper([boxes]).numpy()
    roots = np.sqrt(areas)
    level = (roots[:, None] >= thresholds).sum(axis=1)
    np.testing.assert_array_equal(level, expected)
    assert len(np.unique(level)) == k_max - k_min + 1


def test_threshold_is_the_first_size_of_its_level():
    mapper = LevelMapper(2, 5)
    below = [float(np.nextafter(np.float32(t), np.float32(0))) for t in level_thresholds(mapper)]
    assert level_thresholds(mapper) == pytest.approx([112, 224, 448], rel=1e-5)
    assert all(b < t for b, t in zip(below, level_thresholds(mapper), strict=True))
