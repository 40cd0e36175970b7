"""Where one pyramid level ends and the next begins, exactly as torchvision's LevelMapper decides it."""

from __future__ import annotations

import numpy as np
import torch
from torchvision.ops.poolers import LevelMapper


def level_thresholds(mapper: LevelMapper) -> list[float]:
    """RoI sizes at which torchvision moves to the next pyramid level.

    An RoI belongs to the level whose index is the number of thresholds `t` with `sqrt(area) >= t`, in float32. This
    equals `LevelMapper` (FPN paper, eq. 1: `floor(k0 + log2(sqrt(area) / s0) + 1e-6)`) bit for bit, but needs no
    logarithm, whose last bit differs between processors. The thresholds come from bisecting LevelMapper's own float32
    expression over the bit patterns of float32. A level that no RoI reaches has the threshold infinity.
    """

    def index(bits: int) -> int:
        # LevelMapper takes the square root of the area itself, so it is evaluated on the root directly.
        root = torch.from_numpy(np.array([bits], np.int32).view(np.float32).copy())
        level = torch.floor(mapper.lvl0 + torch.log2(root / mapper.s0) + torch.tensor(mapper.eps, dtype=root.dtype))
        return int(torch.clamp(level, min=mapper.k_min, max=mapper.k_max)) - mapper.k_min

    infinity = int(np.float32(np.inf).view(np.int32))
    thresholds = []
    for level in range(1, mapper.k_max - mapper.k_min + 1):
        below, at = 0, infinity  # index(below) < level <= index(at)
        while at - below > 1:
            middle = (below + at) // 2
            if index(middle) >= level:
                at = middle
            else:
                below = middle
        thresholds.append(float(np.array([at], np.int32).view(np.float32)[0]))
    return thresholds
