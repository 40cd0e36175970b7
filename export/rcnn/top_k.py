"""The highest scores of each row, as many as TensorRT can be asked for and more."""

from __future__ import annotations

import torch
from torch import Tensor

MOST_AT_ONCE = 3840
"""TensorRT's TopK layer takes no larger k."""

NEVER = -3e38
"""Below any score."""


def top_k(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Choose the highest scores of each row, in falling order.

    More than TensorRT's layer gives are chosen in rounds, each without what the rounds before have taken.

    Args:
        scores: `[B, N]` float32.
        count: how many.

    Returns:
        Scores and indices `[B, k]`; k is the smaller of `count` and N, or, in rounds, `count`: then rows that are
        missing have the score `NEVER` and any index.
    """
    if count <= MOST_AT_ONCE:
        return torch.topk(scores, torch.sym_min(scores.shape[1], count), dim=1)
    rest = torch.cat((scores, scores.new_full((scores.shape[0], count), NEVER)), dim=1)
    values, indices = [], []
    for start in range(0, count, MOST_AT_ONCE):
        best, index = torch.topk(rest, min(MOST_AT_ONCE, count - start), dim=1)
        rest = rest.scatter(1, index, NEVER)
        values.append(best)
        indices.append(index)
    return torch.cat(values, dim=1), torch.cat(indices, dim=1).clamp(max=scores.shape[1] - 1)
