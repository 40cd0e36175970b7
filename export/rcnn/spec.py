"""What a two-stage detector computes, as values: everything in which the frameworks differ.

A family makes the `ModelSpec` of a model; the export graph and the eager reference read it and nothing else. Boxes are
xyxy; sizes are pixels of the canvas, the padded picture that the network sees.
"""

from dataclasses import dataclass
from typing import Literal

from maskrt.contract.pipeline import Pipeline


@dataclass(frozen=True)
class Normalization:
    """From grey levels 0-255 to what the backbone takes: `(levels / divisor - mean) / std`, and zero in the padding.

    Attributes:
        colors: order of the channels that the backbone takes, and of `mean` and `std`.
        divisor: 255 (torchvision) or 1 (detectron2, mmdetection).
        mean, std: of each channel.
    """

    colors: Literal["RGB", "BGR"]
    divisor: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class BoxCoder:
    """How predicted deltas (dx, dy, dw, dh) move a box (Girshick et al. 2014, appendix C).

    Attributes:
        weights: of the four deltas.
        operation: whether deltas are divided by the weights (torchvision, detectron2) or multiplied with them
            (mmdetection's `target_stds`).
        max_log_scale: dw and dh are at most this, so that `exp` stays finite.
        min_log_scale: they are at least this; None: no such limit.
    """

    weights: tuple[float, float, float, float]
    operation: Literal["divide", "multiply"]
    max_log_scale: float
    min_log_scale: float | None


@dataclass(frozen=True)
class MinSide:
    """Boxes with a side below this many pixels are dropped; those of just this size are kept if `inclusive`."""

    pixels: float
    inclusive: bool


ANY_SIDE = MinSide(0.0, inclusive=True)
"""That of every box."""


@dataclass(frozen=True)
class Anchors:
    """The anchors of one feature map.

    Attributes:
        cells: anchors around the origin, exact in float32, in the order of the RPN head's channels.
        stride: pixels from one position to the next; None: canvas size // feature size, in each direction.
        offset: pixels from the canvas's origin to the first position, in both directions.
    """

    cells: tuple[tuple[float, float, float, float], ...]
    stride: int | None
    offset: float


Score = Literal["logit", "probability"]
"""Both sort alike, but for scores so high that their probabilities are equal in float32."""


@dataclass(frozen=True)
class RPN:
    """The region proposal network.

    Attributes:
        features: names of the feature maps that it reads.
        anchors: of each of them.
        coder: of its deltas.
        top_k_by: the score by which a level's best anchors are chosen.
        pre_nms_top_k: how many of each level.
        min_side: of a proposal, once cut at the image's border; None: any.
        min_probability: of a proposal; None: any.
        finite_logits: whether infinite logits make no proposals (detectron2).
        nms_by: the score that decides in non-maximum suppression, which is level by level.
        nms_threshold: IoU above which the lower score is suppressed.
        post_nms_top_k: how many proposals remain, of all levels together.
    """

    features: tuple[str, ...]
    anchors: tuple[Anchors, ...]
    coder: BoxCoder
    top_k_by: Score
    pre_nms_top_k: int
    min_side: MinSide | None
    min_probability: float | None
    finite_logits: bool
    nms_by: Score
    nms_threshold: float
    post_nms_top_k: int


@dataclass(frozen=True)
class LevelRule:
    """Which feature map an RoI is pooled from (Lin et al. 2017, eq. 1), by its size s, the root of its area.

        floor(canonical_level + log2(s / canonical_size + inner_epsilon) + outer_epsilon)

    in float32, limited to the levels that there are.

    Attributes:
        canonical_size: s of an RoI of the canonical level.
        canonical_level: a number that counts levels as `first_level` does.
        first_level: number of the first feature map.
        inner_epsilon, outer_epsilon: as above.
    """

    canonical_size: float
    canonical_level: int
    first_level: int
    inner_epsilon: float
    outer_epsilon: float


@dataclass(frozen=True)
class RoIPooling:
    """RoIAlign (He et al. 2017) over the levels of a pyramid, or over a single feature map.

    Attributes:
        features: names of the feature maps, the finest first.
        strides: pixels per cell of each.
        level_rule: which of them an RoI takes; None for a single one.
        output_size: rows and columns.
        sampling_ratio: samples per cell and direction; 0: as many as the RoI's size asks for.
        aligned: whether coordinates are shifted by half a cell, as they should be, or not, as they were at first.
        mode: the mean of a cell's samples, or their maximum, which needs a fixed sampling ratio.
    """

    features: tuple[str, ...]
    strides: tuple[int, ...]
    level_rule: LevelRule | None
    output_size: tuple[int, int]
    sampling_ratio: int
    aligned: bool
    mode: Literal["avg", "max"] = "avg"


@dataclass(frozen=True)
class BoxHead:
    """What classifies RoIs and moves them to the objects; a cascade has several, one for each stage.

    Attributes:
        pooling: of its RoIs.
        coder: of its deltas.
        class_agnostic: whether an RoI has one box for all classes, or one for each label of the head.
    """

    pooling: RoIPooling
    coder: BoxCoder
    class_agnostic: bool


@dataclass(frozen=True)
class DetectionRule:
    """Which boxes of which classes are detections.

    Attributes:
        num_labels: with the background. In a model file the background is label 0 and always comes first.
        background: where the head's scores have it; last: its deltas and masks have no place for it.
        activation: from logits to scores, over all labels of an RoI or one by one.
        min_side: of a box, once cut at the image's border; None: any.
        score_threshold: scores are above it.
        nms_threshold: IoU above which the lower score of a class is suppressed.
        max_detections: of an image, the best.
    """

    num_labels: int
    background: Literal["first", "last"]
    activation: Literal["softmax", "sigmoid"]
    min_side: MinSide | None
    score_threshold: float
    nms_threshold: float
    max_detections: int


StageMean = Literal["scores", "logits"]
"""What is averaged over the stages of a cascade: scores (detectron2), or logits, before they become scores (mmdet)."""


@dataclass(frozen=True)
class MaskHead:
    """What predicts masks of the detected boxes; where a cascade has several, the mean of their probabilities is taken.

    Attributes:
        pooling: of the boxes.
        class_agnostic: whether a box has one mask, or one for each label of the head.
    """

    pooling: RoIPooling
    class_agnostic: bool


@dataclass(frozen=True)
class KeypointHead:
    """What predicts a heatmap for each keypoint of the detected boxes.

    Attributes:
        pooling: of the boxes.
        names: of the keypoints, as many as there are.
        score: the logit at a heatmap's maximum (torchvision), or that maximum's share in a softmax over the heatmap,
            which may exceed 1 because the maximum is that of a finer surface (detectron2).
    """

    pooling: RoIPooling
    names: tuple[str, ...]
    score: Literal["logit", "normalized"]


@dataclass(frozen=True)
class ModelSpec:
    """A whole model.

    Attributes:
        family: for the file's metadata, for example "torchvision.MaskRCNN".
        normalization: of the canvas.
        pipeline: from pictures to canvases, and back.
        rpn: the region proposal network.
        box_heads: one, or the stages of a cascade, each of which takes the boxes of the one before.
        detection: which of the last head's boxes are detections.
        mask_head: None for a model without masks.
        keypoint_head: None for a model without keypoints.
        stage_mean: the scores of a cascade; of a single head both are the same.
    """

    family: str
    normalization: Normalization
    pipeline: Pipeline
    rpn: RPN
    box_heads: tuple[BoxHead, ...]
    detection: DetectionRule
    mask_head: MaskHead | None
    stage_mean: StageMean = "scores"
    keypoint_head: KeypointHead | None = None
