"""evaluate.json: average precision of models on a data set, 0 to 1; None where no ground truth counts."""

from __future__ import annotations

from dataclasses import dataclass

from maskrt.evaluation.environment import Environment
from maskrt.evaluation.metrics.cityscapes_ap import CityscapesAp
from maskrt.evaluation.metrics.coco import ApStatistics


@dataclass(frozen=True)
class DatasetRecord:
    """What AP was measured on.

    Attributes:
        name: of the file with the annotations.
        file: its path.
        images: how many were used.
        missing_images: how many were left out because their files do not exist.
        annotations: how many.
        left_out_annotations: how many could not be used; see `evaluation.metrics.dataset`.
        max_detections: of a class in an image that AP counts, the best ones.
        categories: names of those that AP is the mean over.
    """

    name: str
    file: str
    images: int
    missing_images: int
    annotations: int
    categories: tuple[str, ...]
    left_out_annotations: int = 0
    max_detections: int = 100


@dataclass(frozen=True)
class ClassAp:
    """AP of one class, of boxes, of masks and of keypoints."""

    name: str
    box: float | None
    mask: float | None
    keypoints: float | None = None


@dataclass(frozen=True)
class ModelRecord:
    """AP of one model.

    Attributes:
        name: unique; "PyTorch" for the source model.
        file: its path; None for the source model.
        precision: for example "int8"; "fp32" for the source model.
        backend: the engine and the device it ran on, for people.
        remark: of the source model, a sentence: whether its own framework ran, and if not, why not; None for a file.
        score_threshold, nms_threshold: that it ran with, 0 to 1.
        box: AP of the boxes.
        mask: AP of the masks; None where the model, or an annotation, has no masks.
        per_class: of the classes with ground truth.
        seconds_per_image: median, from the decoded image to COCO records.
        results: name of the file beside evaluate.json with the detections; pycocotools' `loadRes` reads it.
        keypoints: AP of the keypoints, by OKS; None where the model has no keypoints, or no annotation has.
        cityscapes: AP of the masks by Cityscapes' own rules; None where it was not asked for.
    """

    name: str
    file: str | None
    precision: str
    backend: str
    remark: str | None
    score_threshold: float
    nms_threshold: float
    box: ApStatistics
    mask: ApStatistics | None
    per_class: tuple[ClassAp, ...]
    seconds_per_image: float
    results: str
    keypoints: ApStatistics | None = None
    cityscapes: CityscapesAp | None = None


@dataclass(frozen=True)
class Evaluation:
    """The content of evaluate.json."""

    environment: Environment
    dataset: DatasetRecord
    models: tuple[ModelRecord, ...]
