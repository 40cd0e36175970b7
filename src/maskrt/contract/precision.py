"""The precisions of a model file: one row each, with everything that depends on it but the conversion itself.

Precision is a property of the file, not of the engine builder. Box arithmetic, RoI coordinates, scores and NMS are
float32 at every precision.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from maskrt.errors import ArgumentError


@dataclass(frozen=True)
class Budget:
    """What the differences of a file from its source model may amount to.

    Attributes:
        snr_db: least signal to noise of every tensor, dB.
        proposals: least share of the source model's proposals that the file proposes too, 0 to 1.
        unmatched: largest share of detections without a counterpart, 0 to 1.
        box_px: largest difference of nine of ten matched boxes, canvas pixels.
        score: largest difference of nine of ten of their scores, 0 to 1.
        mask_iou: least IoU of nine of ten of their masks, 0 to 1.
        keypoint_size: largest distance of nine of ten of their keypoints, as a share of the box's size, the root of its
            area; a cell of a heatmap is 1/56 of a side.
    """

    snr_db: float
    proposals: float
    unmatched: float
    box_px: float
    score: float
    mask_iou: float
    keypoint_size: float = 0.02


@dataclass(frozen=True)
class Precision:
    """A precision.

    Attributes:
        name: as in metadata, file names and options.
        calibrated: whether converting to it needs images, and its file holds quantize/dequantize pairs.
        compute_capability: of the first GPU whose tensor cores have it.
        budget: of a file of this precision, unless the user gives another.
    """

    name: str
    calibrated: bool
    compute_capability: str
    budget: Budget


# The budgets: on the demo model FP32 has 117 dB and more on every tensor, FP16 61, INT8 20, FP8 12, and a convolution
# mis-scaled by one percent 40. Boxes, scores and masks of FP32 and FP16 differ by what a uint8 input rounds.
_ROWS = (
    Precision("fp32", False, "7.0", Budget(90.0, 0.97, 0.05, 0.5, 0.03, 0.95)),
    Precision("fp16", False, "7.0", Budget(45.0, 0.95, 0.05, 0.5, 0.03, 0.95)),
    Precision("int8", True, "7.2", Budget(12.0, 0.75, 0.1, 6.0, 0.15, 0.85, 0.06)),
    Precision("fp8", True, "8.9", Budget(8.0, 0.6, 0.15, 15.0, 0.25, 0.8, 0.1)),
)
PRECISIONS: Mapping[str, Precision] = {row.name: row for row in _ROWS}
"""By name; what a model is exported in comes first."""

SOURCE_PRECISION = _ROWS[0].name
"""What a model is exported in."""


def find_precision(name: str) -> Precision:
    """Return the precision of that name.

    Raises:
        ArgumentError: there is none.
    """
    if name not in PRECISIONS:
        raise ArgumentError(f"There is no precision {name!r}: expected one of {', '.join(PRECISIONS)}.")
    return PRECISIONS[name]
