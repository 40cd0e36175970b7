"""Attributes and inputs of GenerateProposals, drawn so that rounding decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from maskrt.plugins.proposal_attributes import LOWEST, ProposalAttributes


@dataclass(frozen=True)
class Maps:
    """Inputs of GenerateProposals, as `host_proposals.generate_proposals` describes them."""

    image_sizes: np.ndarray
    canvas_size: np.ndarray
    logits: list[np.ndarray]
    deltas: list[np.ndarray]


def sigmoid(logits: torch.Tensor) -> torch.Tensor:
    """Compute the sigmoid, the same wherever a value stands.

    PyTorch's differs in the last bit between the lanes of a vector and what is left over behind the last whole one, so
    that anchors which are tied have an order by chance. Rounding a double gives all of them one number.
    """
    return (1 / (1 + (-logits.double()).exp())).to(logits.dtype)


def draw_attributes(rng: np.random.Generator, cells: tuple[int, ...], **changes: Any) -> ProposalAttributes:
    """Attributes like torchvision's, with `cells` anchors at the positions of each level."""
    half_sides = rng.integers(6, 30, (sum(cells), 2))
    chosen = {
        "cell_anchors": cells,
        "strides": tuple(rng.choice([0, 4, 8], len(cells)).tolist()),
        "offsets": tuple(rng.choice([0.0, 1.5], len(cells)).tolist()),
        "anchors": tuple(np.concatenate((-half_sides, half_sides), axis=1).astype(float).reshape(-1).tolist()),
        "weights": (1.0, 1.0, 1.0, 1.0),
        "weights_operation": "divide",
        "min_log_scale": LOWEST,
        "max_log_scale": 4.135166645050049,
        "top_k_by": "logit",
        "nms_by": "probability",
        "pre_nms_top_k": 60,
        "post_nms_top_k": 80,
        "min_side": float(np.float32(1e-3)),
        "min_side_inclusive": 1,
        "min_probability": 0.0,
        "finite_logits": 0,
        "nms_threshold": float(np.nextafter(np.float32(0.7), np.float32(0))),
    }
    return ProposalAttributes(**{**chosen, **changes})  # type: ignore[arg-type]


def draw_maps(
    rng: np.random.Generator,
    attributes: ProposalAttributes,
    batch: int,
    dtype: type,
    *,
    odd: bool = True,
    sizes: list[tuple[int, int]] | None = None,
) -> Maps:
    """Maps with logits that are often tied, and of moderate size, whose sigmoids differ where they do.

    Widths and heights of boxes keep those of the anchors or double them: their overlaps have few values, none near
    a threshold.

    Args:
        rng: draws.
        attributes: of the node.
        batch: of images.
        dtype: of the maps.
        odd: with NaN and infinities.
        sizes: of the maps; by default at random.
    """
    sizes = sizes or [(int(h), int(w)) for h, w in rng.integers(1, 14, (len(attributes.cell_anchors), 2))]
    logits, deltas = [], []
    for cells, (height, width) in zip(attributes.cell_anchors, sizes, strict=True):
        scores = rng.integers(-40, 40, (batch, cells, height, width)) / 8
        moves = np.zeros((batch, cells, 4, height, width))
        moves[:, :, :2] = rng.integers(-8, 9, moves[:, :, :2].shape) / 16
        if odd:
            for values in (scores, moves):
                for odd_value in (np.nan, np.inf, -np.inf):
                    values[rng.random(values.shape) < 0.01] = odd_value
        logits.append(scores.astype(dtype))
        deltas.append(moves.reshape(batch, 4 * cells, height, width).astype(dtype))
    image_sizes = rng.integers(40, 120, (batch, 2)).astype(np.int32)
    return Maps(image_sizes, np.array([120, 120], np.int32), logits, deltas)
