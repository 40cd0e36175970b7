"""compare.json: model files beside the PyTorch model that they came from, on the same images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from maskrt.contract.precision import Budget
from maskrt.evaluation.environment import Environment


@dataclass(frozen=True)
class ReferenceRecord:
    """The source model.

    Attributes:
        name: "PyTorch", its key among the instances of an image.
        model: as `--source` names it.
        computed_by: what its detections are from: its framework and the version, or "PyTorch" for its spec in PyTorch.
        remark: the same as a sentence, and, where it is not the framework, why not.
    """

    name: str
    model: str
    computed_by: str
    remark: str


@dataclass(frozen=True)
class TensorDifference:
    """A tensor of the file beside the source model's, the worst over all images.

    Attributes:
        name: module of the source model whose output it is; "images" (resized and padded), or "proposals".
        onnx: tensor of the ONNX file; None for "images".
        max_abs, mean_abs, max_rel, mean_rel: differences as Polygraphy defines them; None: not finite.
        snr_db: signal to noise, dB; 200: equal to the last bit, -200: of another shape, or not finite.
        found: of "proposals" alone: share of them that the file proposes too, 0 to 1.
        image: on which `snr_db`, or `found`, was lowest.
    """

    name: str
    onnx: str | None
    max_abs: float | None
    mean_abs: float | None
    max_rel: float | None
    mean_rel: float | None
    snr_db: float
    found: float | None
    image: str


@dataclass(frozen=True)
class TensorRecord(TensorDifference):
    """The same, and whether the budget was kept."""

    within_budget: bool


@dataclass(frozen=True)
class DetectionCounts:
    """How the detections of the file match the source model's.

    Attributes:
        reference: detections of the source model of a clear score.
        matched, missing: those of them that the file has, and has not.
        extra: detections of the file of a clear score that the source model has not.
        box_px, box_px_max: nine of ten matched boxes differ by at most the first, all by at most the second: largest of
            four coordinates, canvas pixels. None with nothing matched.
        score, score_max: the same for scores, 0 to 1.
        mask_iou, mask_iou_min: nine of ten matched masks have at least the first, all at least the second, 0 to 1. None
            without masks, or with nothing matched.
        keypoint_size, keypoint_size_max: nine of ten keypoints of matched detections, and all of them, lie at most so
            far apart, as a share of the box's size, the root of its area. None without keypoints, or with nothing
            matched.
    """

    reference: int
    matched: int
    missing: int
    extra: int
    box_px: float | None
    box_px_max: float | None
    score: float | None
    score_max: float | None
    mask_iou: float | None
    mask_iou_min: float | None
    keypoint_size: float | None = field(default=None, kw_only=True)
    keypoint_size_max: float | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class WorstImage(DetectionCounts):
    """The image on which the detections differ most, `file`."""

    file: str


@dataclass(frozen=True)
class CandidateRecord:
    """A model file and the verdict on it.

    Attributes:
        name: unique; its key among the instances of an image.
        file: its path, as given.
        precision: for example "int8".
        backend: the engine and the device it ran on, for people.
        verdict: "pass" where every budget was kept.
        reasons: a sentence for each budget that was missed, in the order in which an image passes their places.
        budget: what the differences might amount to.
        first_difference: the first place that misses its budget: a module of the source model, "images" (resized),
            "proposals", "class names", "pasted masks", or "detections" (decoding, NMS, thresholds). None: none does.
        tensors: in the order of the graph; of an engine, whose tensors nobody can ask for, "images" alone.
        detections: over all images.
        pasting_iou: least IoU, over the images, of the file's masks as maskrt and as the source model's framework paste
            them, 0 to 1; None without masks.
        worst_image: None without any detection.
    """

    name: str
    file: str
    precision: str
    backend: str
    verdict: Literal["pass", "fail"]
    reasons: tuple[str, ...]
    budget: Budget
    first_difference: str | None
    tensors: tuple[TensorRecord, ...]
    detections: DetectionCounts
    pasting_iou: float | None
    worst_image: WorstImage | None


@dataclass(frozen=True)
class NotCompared:
    """What was not compared, and why, in a sentence."""

    name: str
    why: str


@dataclass(frozen=True)
class EncodedMask:
    """A mask as COCO's compressed RLE: `size` (height, width) pixels, and `counts`."""

    size: tuple[int, int]
    counts: str


@dataclass(frozen=True)
class InstanceRecord:
    """What one side found: `box` xyxy, pixels of the image; `score` 0 to 1; the class by number and by name.

    `keypoints` are x, y and score of each, one behind the other.
    """

    box: tuple[float, float, float, float]
    score: float
    label: int
    name: str
    rle: EncodedMask | None
    keypoints: tuple[float, ...] | None = None


@dataclass(frozen=True)
class ImageRecord:
    """An image, and what each side found in it, by the side's name.

    The instances are of any score: the counterparts of clear ones may lie below the threshold. `file` is below the
    image folder, or absolute.
    """

    file: str
    height: int
    width: int
    instances: Mapping[str, tuple[InstanceRecord, ...]]


@dataclass(frozen=True)
class Comparison:
    """The content of compare.json.

    Attributes:
        environment: where it was made.
        reference: the source model.
        score_threshold: a clear score: detections of at least this must be found again.
        candidates: the model files.
        not_compared: files, or kinds of files, that were left out.
        images: in the order in which they were compared.
        image_folder: that their names are relative to.
        keypoint_names: of the source model's keypoints; empty without any.
    """

    environment: Environment
    reference: ReferenceRecord
    score_threshold: float
    candidates: tuple[CandidateRecord, ...]
    not_compared: tuple[NotCompared, ...]
    images: tuple[ImageRecord, ...]
    image_folder: str
    keypoint_names: tuple[str, ...] = ()
