"""The attributes of DetectionOutput, checked, under the names that the ONNX node gives them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from maskrt.plugins import abi
from maskrt.plugins.proposal_attributes import OPERATIONS

ACTIVATIONS = ("softmax", "sigmoid", "none")
BACKGROUNDS = ("last", "first")


@dataclass(frozen=True)
class DetectionAttributes:
    """Which boxes of which classes are detections; what the values mean is told in `export.rcnn.spec.DetectionRule`.

    Args:
        activation: from logits to scores: "softmax" over all labels, "sigmoid" of each, or "none": they are scores.
        background: which of the labels is none: the "first" or the "last".
        class_agnostic: 1: a proposal has one box for all classes; 0: one for each label, but for a last background.
        weights: of dx, dy, dw, dh.
        weights_operation: "divide" the deltas by the weights, or "multiply" them.
        min_log_scale, max_log_scale: of dw and dh; `proposal_attributes.LOWEST`: no lower limit.
        min_side: pixels of a box's sides, once cut at the image's border.
        min_side_inclusive: 1: sides of just this length do.
        max_detections: K, how many there are of an image at the most.

    Raises:
        ValueError: a value is out of its range.
    """

    activation: str
    background: str
    class_agnostic: int
    weights: tuple[float, float, float, float]
    weights_operation: str
    min_log_scale: float
    max_log_scale: float
    min_side: float
    min_side_inclusive: int
    max_detections: int

    def __post_init__(self) -> None:
        choices = {"activation": ACTIVATIONS, "background": BACKGROUNDS, "weights_operation": OPERATIONS}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in choices:
                if value not in choices[field.name]:
                    raise ValueError(f"{field.name} must be one of {choices[field.name]}, but is {value!r}")
                continue
            numbers = value if isinstance(value, tuple) else (value,)
            if not all(math.isfinite(number) for number in numbers):
                raise ValueError(f"{field.name} must be finite, but is {value}")
        if len(self.weights) != 4:
            raise ValueError(f"there must be 4 weights, but there are {len(self.weights)}")
        for name in ("class_agnostic", "min_side_inclusive"):
            if getattr(self, name) not in (0, 1):
                raise ValueError(f"{name} must be 0 or 1, but is {getattr(self, name)}")
        if not 1 <= self.max_detections <= abi.MOST_DETECTIONS:
            raise ValueError(f"max_detections must be within 1 and {abi.MOST_DETECTIONS}, but is {self.max_detections}")

    def delta_columns(self, labels: int) -> int:
        """Count the deltas of a proposal."""
        return 4 if self.class_agnostic else 4 * (labels if self.background == "first" else labels - 1)

    def to_node(self) -> dict[str, Any]:
        """Give the attributes of the ONNX node."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values}

    def to_struct(self) -> abi.DetectionAttributesStruct:
        """Give the same as the C interface takes it."""
        struct = abi.DetectionAttributesStruct(
            activation=ACTIVATIONS.index(self.activation),
            background_first=BACKGROUNDS.index(self.background),
            class_agnostic=self.class_agnostic,
            multiply=OPERATIONS.index(self.weights_operation),
            min_log_scale=self.min_log_scale,
            max_log_scale=self.max_log_scale,
            min_side=self.min_side,
            min_side_inclusive=self.min_side_inclusive,
            max_detections=self.max_detections,
        )
        struct.weights[:] = self.weights
        return struct
