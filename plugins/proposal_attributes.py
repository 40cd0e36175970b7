"""The attributes of GenerateProposals, checked, under the names that the ONNX node gives them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from maskrt.plugins import abi

SCORES = ("logit", "probability")
OPERATIONS = ("divide", "multiply")
LOWEST = -3.4028234663852886e38
"""Of float32: below every other number."""


@dataclass(frozen=True)
class ProposalAttributes:
    """How a region proposal network's maps become proposals; what the values mean is told in `export.rcnn.spec.RPN`.

    Args:
        cell_anchors: anchors at each position, of each level.
        strides: pixels from one position to the next, of each level; 0: canvas size / feature size, rounded down.
        offsets: pixels from the canvas's origin to the first position, of each level.
        anchors: xyxy around the origin, one number behind the other, level by level.
        weights: of dx, dy, dw, dh.
        weights_operation: "divide" the deltas by the weights, or "multiply" them.
        min_log_scale, max_log_scale: of dw and dh; `LOWEST`: no lower limit.
        top_k_by: the score by which a level's best anchors are chosen, "logit" or "probability".
        nms_by: the score that decides in non-maximum suppression, and between levels.
        pre_nms_top_k: how many anchors of each level are looked at.
        post_nms_top_k: K, how many proposals there are at the most.
        min_side: pixels of a proposal's sides, once cut at the image's border.
        min_side_inclusive: 1: sides of just this length do.
        min_probability: of a proposal.
        finite_logits: 1: infinite logits make no proposals.
        nms_threshold: IoU above which the lower score is suppressed.

    Raises:
        ValueError: a value is out of its range.
    """

    cell_anchors: tuple[int, ...]
    strides: tuple[int, ...]
    offsets: tuple[float, ...]
    anchors: tuple[float, ...]
    weights: tuple[float, float, float, float]
    weights_operation: str
    min_log_scale: float
    max_log_scale: float
    top_k_by: str
    nms_by: str
    pre_nms_top_k: int
    post_nms_top_k: int
    min_side: float
    min_side_inclusive: int
    min_probability: float
    finite_logits: int
    nms_threshold: float

    def __post_init__(self) -> None:
        levels = len(self.cell_anchors)
        if levels < 1 or min(self.cell_anchors) < 1:
            raise ValueError(f"each level must have an anchor at the least, but cell_anchors are {self.cell_anchors}")
        if len(self.strides) != levels or len(self.offsets) != levels:
            raise ValueError(f"{levels} levels need as many strides and offsets: {self.strides}, {self.offsets}")
        if min(self.strides) < 0:
            raise ValueError(f"strides must be 0 (canvas size / feature size) or more, but are {self.strides}")
        if len(self.anchors) != 4 * sum(self.cell_anchors):
            raise ValueError(
                f"{sum(self.cell_anchors)} anchors need four numbers each, but there are {len(self.anchors)} numbers"
            )
        for field in fields(self):
            value = getattr(self, field.name)
            numbers = value if isinstance(value, tuple) else () if isinstance(value, str) else (value,)
            if not all(math.isfinite(number) for number in numbers):
                raise ValueError(f"{field.name} must be finite, but is {value}")
        for name, choices in (("top_k_by", SCORES), ("nms_by", SCORES), ("weights_operation", OPERATIONS)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {choices}, but is {getattr(self, name)!r}")
        if self.pre_nms_top_k < 1 or self.post_nms_top_k < 1:
            raise ValueError(
                f"pre_nms_top_k and post_nms_top_k must be at least 1, but are {self.pre_nms_top_k} and "
                f"{self.post_nms_top_k}"
            )

    def what_the_kernels_cannot(self) -> str | None:
        """Say which limit of the kernels is exceeded, if one is; the ONNX function has none."""
        if len(self.cell_anchors) > abi.MAX_RPN_LEVELS:
            return f"{len(self.cell_anchors)} levels, of at most {abi.MAX_RPN_LEVELS}"
        if sum(self.cell_anchors) > abi.MAX_CELL_ANCHORS:
            return f"{sum(self.cell_anchors)} anchors to a position in all levels, of at most {abi.MAX_CELL_ANCHORS}"
        if self.pre_nms_top_k > abi.MOST_TOP_K:
            return f"{self.pre_nms_top_k} anchors of a level before NMS, of at most {abi.MOST_TOP_K}"
        return None

    def to_node(self) -> dict[str, Any]:
        """Give the attributes of the ONNX node."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values}

    def to_struct(self) -> abi.ProposalAttributesStruct:
        """Give the same as the C interface takes it.

        Raises:
            ValueError: it is more than the kernels can take.
        """
        too_much = self.what_the_kernels_cannot()
        if too_much is not None:
            raise ValueError(f"GenerateProposals has {too_much}")
        struct = abi.ProposalAttributesStruct(level_count=len(self.cell_anchors))
        for name, value in self._numbers():
            if isinstance(value, tuple):
                getattr(struct, name)[: len(value)] = value
            else:
                setattr(struct, name, value)
        return struct

    def _numbers(self) -> Iterator[tuple[str, Any]]:
        """Give the names and values of the C structure's fields."""
        for name, value in ((field.name, getattr(self, field.name)) for field in fields(self)):
            if name == "weights_operation":
                yield "multiply", OPERATIONS.index(value)
            elif name in ("top_k_by", "nms_by"):
                yield f"{name}_probability", SCORES.index(value)
            else:
                yield name, value
