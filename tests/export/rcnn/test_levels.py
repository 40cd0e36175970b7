from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.ops.poolers import LevelMapper

from maskrt.export.rcnn.levels import choose_level, level_thresholds
from maskrt.export.rcnn.spec import LevelRule

from ...support import level_rules


@pytest.mark.parametrize(
    ("k_min", "k_max", "canonical_scale", "canonical_level"), [(2, 5, 224, 4), (3, 6, 224, 4), (2, 4, 160, 3)]
)
def test_same_level_as_torchvision_at_the_borders_and_between(
    k_min: int, k_max: int, canonical_scale: int, canonical_level: int, rng: np.random.Generator
) -> None:
    mapper = LevelMapper(k_min, k_max, canonical_scale, canonical_level)
    rule, levels = level_rules.rule_of(mapper), level_rules.levels_of(mapper)
    thresholds = np.array(level_thresholds(rule, levels), np.float32)
    assert len(thresholds) == k_max - k_min
    near = [np.nextafter(t, np.float32(s)) for t in thresholds for s in (0, np.inf)]
    sizes = np.concatenate([thresholds, near, np.exp(rng.uniform(-3, 8, 20_000))]).astype(np.float32)
    # A box of this width and height 1 has an area of its width; LevelMapper takes the root of it.
    areas = (sizes.astype(np.float64) ** 2).astype(np.float32)
    boxes = torch.zeros(len(areas), 4)
    boxes[:, 2], boxes[:, 3] = torch.from_numpy(areas), 1
    expected = mapper([boxes]).numpy()
    roots = np.sqrt(areas)
    level = (roots[:, None] >= thresholds).sum(axis=1)
    np.testing.assert_array_equal(level, expected)
    np.testing.assert_array_equal(choose_level(rule, torch.from_numpy(roots), levels), expected)
    assert len(np.unique(level)) == k_max - k_min + 1


# The smallest float32 sizes that reach levels 3, 4 and 5, found with the frameworks' own code on a CPU.
@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (level_rules.TORCHVISION, [111.99991608, 223.99984741, 447.99963379]),
        (level_rules.DETECTRON2, [111.99998474, 223.99998474, 447.99990845]),
        (level_rules.MMDETECTION, [111.99994659, 223.9999542, 447.9999084]),
    ],
    ids=["torchvision", "detectron2", "mmdetection"],
)
def test_each_framework_moves_to_the_next_level_at_its_own_size(rule: LevelRule, expected: list[float]) -> None:
    thresholds = level_thresholds(rule, 4)
    assert [np.float32(t) for t in thresholds] == [np.float32(t) for t in expected]
    below = torch.tensor([np.nextafter(np.float32(t), np.float32(0)) for t in thresholds])
    assert choose_level(rule, below, 4).tolist() == [0, 1, 2]
    assert choose_level(rule, torch.tensor(thresholds), 4).tolist() == [1, 2, 3]


def test_levels_that_no_roi_reaches_begin_at_infinity() -> None:
    rule = LevelRule(224.0, 4, 200, inner_epsilon=0.0, outer_epsilon=0.0)
    assert level_thresholds(rule, 3) == [np.inf, np.inf]
