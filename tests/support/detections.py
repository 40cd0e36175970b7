"""Attributes and inputs of DetectionOutput, drawn so that rounding decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from maskrt.plugins.detection_attributes import DetectionAttributes
from maskrt.plugins.proposal_attributes import LOWEST


@dataclass(frozen=True)
class HeadOutputs:
    """Inputs of DetectionOutput, as `host_detections.detection_output` describes them."""

    logits: np.ndarray
    deltas: np.ndarray
    proposals: np.ndarray
    num_proposals: np.ndarray
    image_sizes: np.ndarray
    score_threshold: np.ndarray
    nms_threshold: np.ndarray

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Give them in the order of the operator."""
        return tuple(getattr(self, name) for name in self.__dataclass_fields__)


def detection_attributes(**changes: Any) -> DetectionAttributes:
    """Attributes like torchvision's."""
    chosen: dict[str, Any] = {
        "activation": "softmax",
        "background": "first",
        "class_agnostic": 0,
        "weights": (10.0, 10.0, 5.0, 5.0),
        "weights_operation": "divide",
        "min_log_scale": LOWEST,
        "max_log_scale": 4.135166645050049,
        "min_side": float(np.float32(1e-2)),
        "min_side_inclusive": 1,
        "max_detections": 30,
    }
    return DetectionAttributes(**{**chosen, **changes})


CHOICES: tuple[dict[str, Any], ...] = (
    {},
    {"background": "last", "class_agnostic": 1, "min_side": 0.0, "activation": "none"},
    {"background": "last", "weights_operation": "multiply", "weights": (0.5, 0.25, 0.2, 0.2), "activation": "sigmoid"},
    {"background": "last", "min_log_scale": -0.5, "min_side": 3.0, "min_side_inclusive": 0, "max_detections": 7},
)
"""Changes of them, like other frameworks' and unlike any."""


def draw_head_outputs(
    rng: np.random.Generator,
    attributes: DetectionAttributes,
    batch: int,
    proposals: int,
    labels: int,
    *,
    dtypes: tuple[type, type] = (np.float32, np.float32),
    odd: bool = True,
    thresholds: tuple[float, float] = (0.0611, 0.503),
) -> HeadOutputs:
    """Draw scores that are often tied, and boxes whose overlaps have few values, none near a threshold.

    Proposals say one of a few things: tied scores come from equal rows, which have them in every order of summation.

    Args:
        rng: draws.
        attributes: of the node.
        batch: of images.
        proposals: of each image.
        labels: with the background.
        dtypes: of the logits and of the deltas.
        odd: with NaN and infinities.
        thresholds: of scores and of overlaps; images behind the first have others.
    """
    rows = batch * proposals
    kinds = np.stack([rng.permutation(scores_of_classes(attributes, labels - 1)) for _ in _OF_BACKGROUND])
    background = np.array(_OF_BACKGROUND)[:, None]
    first = attributes.background == "first"
    kinds = np.concatenate((background, kinds) if first else (kinds, background), axis=1)
    logits = kinds[rng.integers(0, len(kinds), rows)]
    moves = np.zeros((rows, attributes.delta_columns(labels) // 4, 4))
    weights = np.array(attributes.weights[:2])
    shifts = rng.integers(-4, 5, moves[..., :2].shape) / 8  # boxes stay on whole pixels
    moves[..., :2] = shifts * weights if attributes.weights_operation == "divide" else shifts / weights
    sides = rng.choice([8, 16, 32], (batch, proposals, 2))
    corners = rng.integers(0, 12, (batch, proposals, 2)) * 8
    if odd:
        for values in (logits, moves):
            for odd_value in (np.nan, np.inf, -np.inf):
                if odd_value > -np.inf or values is moves or attributes.activation != "softmax":
                    values[rng.random(values.shape) < 0.002] = odd_value
    image = np.arange(batch)[:, None]
    return HeadOutputs(
        logits.astype(dtypes[0]),
        moves.reshape(rows, attributes.delta_columns(labels)).astype(dtypes[1]),
        np.concatenate((corners, corners + sides), axis=-1).astype(np.float32),
        rng.integers(proposals // 2, proposals + 1, batch).astype(np.int32),
        rng.integers(60, 130, (batch, 2)).astype(np.int32),
        (thresholds[0] + 0.011 * image).astype(np.float32),
        (thresholds[1] + 0.1007 * image).astype(np.float32),
    )


_OF_BACKGROUND = (-1.3, 0.2, 0.9, 1.7, 2.6)


def scores_of_classes(attributes: DetectionAttributes, classes: int) -> np.ndarray:
    """Give logits of a proposal's classes, or scores where the operator takes these."""
    return np.linspace(0.02, 0.91, classes) if attributes.activation == "none" else np.linspace(-2.9, 3.1, classes)
