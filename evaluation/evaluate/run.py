"""Models over a data set, image by image, and the average precision of what they find."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from maskrt.contract.manifest import sha256_of
from maskrt.errors import ArgumentError
from maskrt.evaluation.environment import describe_environment
from maskrt.evaluation.evaluate.log import ResultsLog
from maskrt.evaluation.metrics.cityscapes_ap import check_cityscapes, cityscapes_ap
from maskrt.evaluation.metrics.coco import (
    MAX_DETECTIONS,
    AveragePrecision,
    beyond_limit,
    box_and_mask_ap,
    keypoint_ap,
    keypoints_not_measured,
    masks_not_measured,
)
from maskrt.evaluation.metrics.dataset import CocoDataset, category_ids, common_categories, read_ground_truth
from maskrt.evaluation.metrics.predict import Predictor, predict_images
from maskrt.evaluation.results.evaluate import ClassAp, DatasetRecord, Evaluation, ModelRecord
from maskrt.files import write_in_one_step
from maskrt.runtime.inference.progress import count
from maskrt.terminal import say


@dataclass(frozen=True)
class DatasetRequest:
    """A data set to evaluate on.

    Attributes:
        annotations: COCO JSON file.
        images: folder of the images; None: searched for, see `read_coco`.
        limit: how many images, the first ones; None: all.
        skip_missing: leave out images that are not there.
    """

    annotations: Path
    images: Path | None = None
    limit: int | None = None
    skip_missing: bool = False


def open_dataset(request: DatasetRequest) -> CocoDataset:
    """Read the annotations and find the images.

    Raises:
        ArgumentError: as for `read_ground_truth`, or the images have no annotations.
    """
    dataset = read_ground_truth(request.annotations, request.images, skip_missing=request.skip_missing)
    if request.limit is not None:
        dataset = dataset.restrict(images=list(dataset.files)[: request.limit])
        if not dataset.truth["annotations"]:
            raise ArgumentError(
                f"The first {count(len(dataset.files), 'image')} of {request.annotations} have no annotations."
            )
    return dataset


def evaluate(
    predictors: Mapping[str, Predictor],
    files: Mapping[str, Path],
    dataset: CocoDataset,
    output: Path,
    *,
    common_classes: bool = False,
    max_detections: int = MAX_DETECTIONS,
    cityscapes: bool = False,
    stream: TextIO = sys.stderr,
) -> Evaluation:
    """Evaluate models on a data set.

    Args:
        predictors: the models by a name for each, at least one.
        files: the model files of those that are files, by the same names.
        dataset: from `open_dataset`.
        output: folder for the results of each model; see `evaluate_model`.
        common_classes: measure on the classes that the data set and all models have.
        max_detections: of a class in an image that AP counts, the best ones.
        cityscapes: measure Cityscapes' own AP of masks, too.
        stream: where the progress is shown.

    Raises:
        MaskrtError: the data set does not fit a model, or an image cannot be read.
        OSError: the results cannot be written.
    """
    if common_classes:
        for predictor in predictors.values():
            dataset = common_categories(dataset, predictor.class_names)
    for predictor in predictors.values():
        category_ids(dataset, predictor.class_names)  # before hours of work end in an error
    if cityscapes:
        for name, predictor in predictors.items():
            if not predictor.has_masks:
                raise ArgumentError(
                    f"--metric cityscapes measures masks, but {name} gives none: leave it out, or name others."
                )
        check_cityscapes(dataset)
    say(*dataset.notes, file=stream)
    annotations = len(dataset.truth["annotations"])
    if told := masks_not_measured(dataset.truth):
        say(told, file=stream)
    models = []
    for name, predictor in predictors.items():
        say(f"{name}: {count(len(dataset.files), 'image')}, {predictor.backend}", file=stream)
        record = evaluate_model(
            predictor,
            name,
            dataset,
            output,
            file=files.get(name),
            max_detections=max_detections,
            cityscapes=cityscapes,
            stream=stream,
        )
        models.append(record)
    return Evaluation(
        environment=describe_environment(),
        dataset=DatasetRecord(
            name=dataset.path.name,
            file=str(dataset.path),
            images=len(dataset.files),
            missing_images=dataset.missing,
            annotations=annotations,
            left_out_annotations=dataset.left_out,
            max_detections=max_detections,
            categories=tuple(entry.name for entry in models[0].per_class),
        ),
        models=tuple(models),
    )


def evaluate_model(
    predictor: Predictor,
    name: str,
    dataset: CocoDataset,
    output: Path,
    *,
    file: Path | None = None,
    max_detections: int = MAX_DETECTIONS,
    cityscapes: bool = False,
    stream: TextIO = sys.stderr,
) -> ModelRecord:
    """Run a model over a data set, or over the rest of it, and score the results.

    Args:
        predictor: the model.
        name: of the files `<name>.results.jsonl`, which an interrupted run leaves and the next one takes up, and
            `<name>.results.json`.
        dataset: from `read_ground_truth`.
        output: folder for the files.
        file: of the model, for the record; None for the source model.
        max_detections: of a class in an image that AP counts; where there are more, `stream` is told.
        cityscapes: as for `evaluate`.
        stream: where the progress is shown.

    Raises:
        MaskrtError: the data set does not fit the model, or an image cannot be read.
        OSError: the files cannot be written.
    """
    categories = category_ids(dataset, predictor.class_names)
    key = {
        "model": predictor.sha256,
        "backend": predictor.backend,
        "dataset": sha256_of(dataset.path),
        "images": str(dataset.folder.resolve()),
        "categories": categories,
        "thresholds": list(predictor.thresholds),
        "packages": dict(describe_environment().packages),
    }
    with ResultsLog(output / f"{name}.results.jsonl", key) as log:
        left = {number: image for number, image in dataset.files.items() if number not in log.seconds}
        if log.started_anew:
            say(f"{name}: starting anew, since this differs: {', '.join(log.started_anew)}", file=stream)
        elif not left:
            say(f"{name}: all images were done before; without {log.path} they are done anew", file=stream)
        elif len(left) < len(dataset.files):
            say(f"{name}: going on; {len(left)} of {len(dataset.files)} images are left", file=stream)
        for result in predict_images(predictor, left, categories, stream, dataset.sizes):
            log.append(result)
        results = [record for record in log.records() if record["image_id"] in dataset.files]
        seconds = [log.seconds[number] for number in dataset.files]
    results_path = output / f"{name}.results.json"
    write_in_one_step(results_path, json.dumps(results, ensure_ascii=False).encode())
    if limit := beyond_limit(dataset.truth, results, max_detections):
        say(f"{name}: {limit}", file=stream)
    box, mask = box_and_mask_ap(dataset.truth, results, max_detections)
    keypoints = keypoint_ap(dataset.truth, results)
    if told := keypoints_not_measured(name, dataset.truth, results):
        say(told, file=stream)
    score_threshold, nms_threshold = predictor.thresholds
    return ModelRecord(
        name=name,
        file=None if file is None else str(file),
        precision=predictor.precision,
        backend=predictor.backend,
        remark=predictor.remark,
        score_threshold=score_threshold,
        nms_threshold=nms_threshold,
        box=box.overall,
        mask=None if mask is None else mask.overall,
        per_class=_per_class(dataset, box, mask, keypoints),
        seconds_per_image=statistics.median(seconds),
        results=results_path.name,
        keypoints=None if keypoints is None else keypoints.overall,
        cityscapes=cityscapes_ap(dataset, results) if cityscapes else None,
    )


def _per_class(
    dataset: CocoDataset, box: AveragePrecision, mask: AveragePrecision | None, keypoints: AveragePrecision | None
) -> tuple[ClassAp, ...]:
    names = {entry["id"]: entry["name"] for entry in dataset.truth["categories"]}
    return tuple(
        ClassAp(
            names[number],
            value,
            None if mask is None else mask.per_class[number],
            None if keypoints is None else keypoints.per_class[number],
        )
        for number, value in box.per_class.items()
        if value is not None
    )
