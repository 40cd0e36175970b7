"""The inputs and outputs of a model file, and how a feed for them is made. Model file format 2.

Inputs, with B images on a canvas of H x W pixels:

    images            [B, H, W, 3]  uint8 or float32   RGB, grey levels 0-255, the image at the top left
    image_sizes       [B, 2]        int32              height and width of each image inside the canvas
    score_threshold   [B, 1]        float32            only detections with a higher score
    nms_threshold     [B, 1]        float32            greatest IoU of two detections of a class

Thresholds are one per image, so that a server can run the requests of several callers as one batch.

Outputs, with K detections per image at the most; rows behind `num_detections` are zero:

    num_detections    [B]           int32
    boxes             [B, K, 4]     float32            xyxy, canvas pixels
    scores            [B, K]        float32            descending
    labels            [B, K]        int32              index into the class names; 0 is the background
    masks             [B, K, M, M]  float32            of the inside of the box; probability of the detected class
    keypoints         [B, K, N, 3]  float32            x, y in canvas pixels, and a score that is none of the others'

The outputs that a file has beside the first four are those that its metadata declares.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from maskrt.errors import ArgumentError

IMAGES = "images"
IMAGE_SIZES = "image_sizes"
SCORE_THRESHOLD = "score_threshold"
NMS_THRESHOLD = "nms_threshold"
INPUTS = (IMAGES, IMAGE_SIZES, SCORE_THRESHOLD, NMS_THRESHOLD)
"""The inputs in the order of the graph."""

NUM_DETECTIONS = "num_detections"
BOXES = "boxes"
SCORES = "scores"
LABELS = "labels"
MASKS = "masks"
KEYPOINTS = "keypoints"
DETECTION_OUTPUTS = (NUM_DETECTIONS, BOXES, SCORES, LABELS)
"""The outputs of every file, in the order of the graph; those that its metadata declares follow."""

IMAGE_TYPES: dict[str, np.dtype] = {"uint8": np.dtype(np.uint8), "float32": np.dtype(np.float32)}
"""Types of `images`: uint8 rounds resized grey levels, float32 is exact."""

LIMITS = (1024, 16384, 16384)
"""The largest batch, height and width of a canvas that a file is declared for."""

DOMAIN = "maskrt"
"""Domain of the custom operators, each a plugin in TensorRT and a model-local function elsewhere."""

INT32, FLOAT32 = np.dtype(np.int32), np.dtype(np.float32)


class FileTensor(NamedTuple):
    """An input or output of a model file: its name, type, and shape behind the axis of the batch; -1: any size."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]


def input_tensors(image_type: np.dtype) -> tuple[FileTensor, ...]:
    """Return the inputs of a file whose images are of this type, in the order of the graph."""
    return (
        FileTensor(IMAGES, image_type, (-1, -1, 3)),
        FileTensor(IMAGE_SIZES, INT32, (2,)),
        FileTensor(SCORE_THRESHOLD, FLOAT32, (1,)),
        FileTensor(NMS_THRESHOLD, FLOAT32, (1,)),
    )


def detection_tensors(detections: int) -> tuple[FileTensor, ...]:
    """Return the outputs of every file, given the most detections that an image can have."""
    return (
        FileTensor(NUM_DETECTIONS, INT32, ()),
        FileTensor(BOXES, FLOAT32, (detections, 4)),
        FileTensor(SCORES, FLOAT32, (detections,)),
        FileTensor(LABELS, INT32, (detections,)),
    )


Threshold = float | Sequence[float] | np.ndarray
"""One threshold for all images of a batch, or one for each."""


def round_down_to_float32(value: float) -> np.float32:
    """Return the largest float32 that is not above `value`.

    torchvision's `nms` compares a float32 IoU with a float64 threshold. Compared with this one in float32, the
    outcome is the same for every IoU.
    """
    nearest = np.float32(value)
    return nearest if float(nearest) <= value else np.nextafter(nearest, np.float32(-math.inf))


def check_threshold(name: str, value: Threshold | None, default: float) -> Threshold:
    """Return a threshold that a caller gave, or else the model's own.

    Args:
        name: for the message.
        value: 0 to 1, one or one per image; None: the model's.
        default: the model's.

    Raises:
        ArgumentError: not a number, or a number outside of 0 to 1.
    """
    if value is None:
        return default
    try:
        given = np.asarray(value)
        if given.dtype.kind not in "fiu" or isinstance(value, np.ma.MaskedArray):  # text and truth are no numbers
            raise TypeError
        values = given.astype(np.float64)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name} should be a number from 0 to 1, or one per image, but is {value!r}.") from None
    if values.ndim > 1 or not ((values >= 0) & (values <= 1)).all():
        raise ArgumentError(f"{name} should be between 0 and 1, but is {value}.")
    return value


def check_count(name: str, value: object) -> None:
    """Check a number of things, which a caller gave.

    Raises:
        ArgumentError: not a whole number from 1.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ArgumentError(f"{name} should be a whole number from 1, but is {value!r}.")
    if value < 1:
        raise ArgumentError(f"{name} should be at least 1, but is {value}.")


def check_one_threshold(name: str, value: float | None, default: float) -> float:
    """Return the same where one threshold has to do for all images.

    Raises:
        ArgumentError: not one number from 0 to 1.
    """
    checked = check_threshold(name, value, default)
    if np.ndim(checked):
        raise ArgumentError(f"{name} should be one number for all images here, but is {value}.")
    return float(checked)  # type: ignore[arg-type]  # a number, as was checked


def make_feed(
    images: Any, image_sizes: np.ndarray, score_threshold: Threshold, nms_threshold: Threshold
) -> dict[str, Any]:
    """Return the inputs of a model file, by name.

    Args:
        images: [B, H, W, 3], or what a backend takes in its place.
        image_sizes: [B, 2] int32, height and width of each image.
        score_threshold, nms_threshold: 0 to 1, one or one per image. Scores are compared in float32 by the source
            frameworks; IoUs are float32, too, but compared with a float64 threshold, see `round_down_to_float32`.

    Raises:
        ArgumentError: another number of thresholds than of images.
    """
    return {
        IMAGES: images,
        IMAGE_SIZES: image_sizes,
        SCORE_THRESHOLD: _column(SCORE_THRESHOLD, score_threshold, len(image_sizes), np.float32),
        NMS_THRESHOLD: _column(NMS_THRESHOLD, nms_threshold, len(image_sizes), round_down_to_float32),
    }


def _column(name: str, threshold: Threshold, batch: int, to_float32: Any) -> np.ndarray:
    """[batch, 1] float32."""
    values = np.asarray(threshold, dtype=np.float64).reshape(-1)
    if len(values) not in (1, batch):
        raise ArgumentError(f"{name} should be one number or one per image, but there are {len(values)} for {batch}.")
    column = np.array([to_float32(value) for value in values.tolist()], dtype=np.float32)
    return np.broadcast_to(column, (batch,))[:, None].copy()
