"""How the kernels are told to work: MultilevelRoIAlign's attributes under the names of the ONNX node, and defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass

from maskrt.contract.pipeline import Paste
from maskrt.plugins import abi

TORCHVISION_PASTE = Paste("integer_box", 0.5)
"""How torchvision's masks are pasted."""

TRANSFORMATIONS = ("output_half_pixel", "half_pixel")
MODES = ("avg", "max")


@dataclass(frozen=True)
class RoiAlignAttributes:
    """How RoIs are pooled.

    Args:
        output_height, output_width: bins on each axis, at least 1.
        sampling_ratio: samples per bin and axis; 0 takes ceil(bin size in feature pixels) of them, per RoI.
        scales: feature size / canvas size of each level, finest first; 1 to 8 levels.
        level_thresholds: not descending, one fewer than scales; infinity before a level that no RoI reaches.
            An RoI's level is the number of thresholds that sqrt(area) reaches, in canvas pixels.
        coordinate_transformation_mode: "half_pixel" is torchvision's aligned=True, "output_half_pixel" its
            aligned=False.
        mode: "avg", the mean of a bin's samples, or "max", their maximum, which needs sampling_ratio >= 1.

    Raises:
        ValueError: a value is out of its range.
    """

    output_height: int
    output_width: int
    sampling_ratio: int
    scales: tuple[float, ...]
    level_thresholds: tuple[float, ...] = ()
    coordinate_transformation_mode: str = "half_pixel"
    mode: str = "avg"

    def __post_init__(self) -> None:
        if self.output_height < 1 or self.output_width < 1:
            raise ValueError(f"the output must be at least 1 x 1, but is {self.output_height} x {self.output_width}")
        if self.sampling_ratio < 0:
            raise ValueError(f"sampling_ratio must be 0 (adaptive) or more, but is {self.sampling_ratio}")
        if not 1 <= len(self.scales) <= abi.MAX_LEVELS:
            raise ValueError(f"there must be 1 to {abi.MAX_LEVELS} scales, but there are {len(self.scales)}")
        if not all(math.isfinite(scale) and scale > 0 for scale in self.scales):
            raise ValueError(f"scales must be positive, but are {self.scales}")
        if len(self.level_thresholds) != len(self.scales) - 1:
            raise ValueError(
                f"{len(self.scales)} scales need {len(self.scales) - 1} level_thresholds, "
                f"but there are {len(self.level_thresholds)}"
            )
        if list(self.level_thresholds) != sorted(self.level_thresholds):
            raise ValueError(f"level_thresholds must not descend, but are {self.level_thresholds}")
        if self.coordinate_transformation_mode not in TRANSFORMATIONS:
            raise ValueError(
                f"coordinate_transformation_mode must be one of {TRANSFORMATIONS}, "
                f"but is {self.coordinate_transformation_mode!r}"
            )
        if self.mode not in MODES:
            raise ValueError(f"mode must be one of {MODES}, but is {self.mode!r}")
        if self.mode == "max" and self.sampling_ratio == 0:
            raise ValueError("mode 'max' needs a sampling_ratio of at least 1, but it is 0 (adaptive)")

    def to_struct(self) -> abi.RoiAlignAttributesStruct:
        """Give the same as the C interface takes it."""
        struct = abi.RoiAlignAttributesStruct(
            output_height=self.output_height,
            output_width=self.output_width,
            sampling_ratio=self.sampling_ratio,
            half_pixel=TRANSFORMATIONS.index(self.coordinate_transformation_mode),
            max_mode=MODES.index(self.mode),
            level_count=len(self.scales),
        )
        struct.scales[: len(self.scales)] = self.scales
        struct.level_thresholds[: len(self.level_thresholds)] = self.level_thresholds
        return struct
