"""Where one pyramid level ends and the next begins, exactly as a framework decides it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from maskrt.export.rcnn.spec import LevelRule


def choose_level(rule: LevelRule, sizes: Tensor, levels: int) -> Tensor:
    """Return the level of RoIs by the frameworks' own expression.

    Args:
        rule: of the framework.
        sizes: `[N]` float32, roots of areas, pixels.
        levels: how many there are.

    Returns:
        `[N]` int64, 0 for the finest.
    """
    octave = rule.canonical_level + torch.log2(sizes / rule.canonical_size + rule.inner_epsilon) + rule.outer_epsilon
    return torch.floor(octave).clamp(rule.first_level, rule.first_level + levels - 1).to(torch.int64) - rule.first_level


def level_thresholds(rule: LevelRule, levels: int) -> list[float]:
    """Compute the RoI sizes at which a framework moves to the next pyramid level.

    An RoI belongs to the level whose index is the number of thresholds `t` with `sqrt(area) >= t`, in float32. This
    equals `choose_level` bit for bit, but needs no logarithm, whose last bit differs between processors. The thresholds
    come from bisecting that expression over the bit patterns of float32. A level that no RoI reaches has the threshold
    infinity.
    """

    def index(bits: int) -> int:
        return int(choose_level(rule, torch.from_numpy(np.array([bits], np.int32).view(np.float32)), levels))

    infinity = int(np.float32(np.inf).view(np.int32))
    thresholds = []
    for level in range(1, levels):
        below, at = 0, infinity  # index(below) < level <= index(at)
        while at - below > 1:
            middle = (below + at) // 2
            if index(middle) >= level:
                at = middle
            else:
                below = middle
        thresholds.append(float(np.array([at], np.int32).view(np.float32)[0]))
    return thresholds
