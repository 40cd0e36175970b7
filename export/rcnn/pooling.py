"""RoIAlign of the export graph."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from maskrt.export.ops.roi_align import multilevel_roi_align
from maskrt.export.rcnn.levels import level_thresholds
from maskrt.export.rcnn.spec import RoIPooling


@dataclass(frozen=True)
class GraphPooling:
    """The attributes of one node of the operator.

    Attributes:
        features: names of the feature maps, the finest first.
        output_size, sampling_ratio, aligned, mode: see `RoIPooling`.
        scales: cells per pixel of each feature map.
        thresholds: RoI sizes, see `level_thresholds`.
        sampled: see `multilevel_roi_align`.
    """

    features: tuple[str, ...]
    output_size: tuple[int, int]
    sampling_ratio: int
    aligned: bool
    scales: tuple[float, ...]
    thresholds: tuple[float, ...]
    mode: Literal["avg", "max"]
    sampled: bool = False

    @classmethod
    def of(cls, pooling: RoIPooling) -> GraphPooling:
        """Express a pooling of the spec."""
        rule, levels = pooling.level_rule, len(pooling.features)
        return cls(
            features=pooling.features,
            output_size=pooling.output_size,
            sampling_ratio=pooling.sampling_ratio,
            aligned=pooling.aligned,
            scales=tuple(1 / stride for stride in pooling.strides),
            thresholds=() if rule is None else tuple(level_thresholds(rule, levels)),
            mode=pooling.mode,
        )

    def padded(self, levels: int, *, sampled: bool) -> GraphPooling:
        """Return the same over more levels, which no RoI reaches: all nodes of a file share one function body."""
        missing = levels - len(self.features)
        return replace(
            self,
            features=self.features + self.features[-1:] * missing,
            scales=self.scales + self.scales[-1:] * missing,
            thresholds=self.thresholds + (math.inf,) * missing,
            sampled=sampled,
        )

    def __call__(self, features: Mapping[str, Tensor], rois: Tensor) -> Tensor:
        """Pool `rois` `[B, R, 4]` xyxy in canvas pixels → `[B*R, C, P, P]`."""
        chosen = [features[name] for name in self.features]
        height, width = self.output_size
        return multilevel_roi_align(
            rois,
            chosen,
            height,
            width,
            self.sampling_ratio,
            self.aligned,
            list(self.scales),
            list(self.thresholds),
            self.mode,
            sampled=self.sampled,
        )
