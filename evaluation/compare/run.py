"""Model files beside their source model on the same images: every difference, and a verdict on each file."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO

import torch

from maskrt.contract.precision import Budget
from maskrt.engines.gpu import local_gpu
from maskrt.errors import ArgumentError, MaskrtError
from maskrt.evaluation.compare.budget import DEFAULT_BUDGETS
from maskrt.evaluation.compare.candidate import Candidate, open_candidate
from maskrt.evaluation.compare.closer import find_beginning
from maskrt.evaluation.compare.detections import Records
from maskrt.evaluation.compare.differences import FileDifferences
from maskrt.evaluation.compare.rounding import is_rounding
from maskrt.evaluation.compare.source_image import SourceImage
from maskrt.evaluation.compare.verdict import DETECTIONS, different_names, first_in_network, judge
from maskrt.evaluation.environment import describe_environment
from maskrt.evaluation.metrics.predict import backend_name
from maskrt.evaluation.results import PYTORCH
from maskrt.evaluation.results.compare import (
    CandidateRecord,
    Comparison,
    EncodedMask,
    ImageRecord,
    InstanceRecord,
    NotCompared,
    ReferenceRecord,
    TensorRecord,
    WorstImage,
)
from maskrt.export.exporter import weights_hash
from maskrt.export.families.base import SourceModel
from maskrt.export.reference import Reference
from maskrt.options import names_of
from maskrt.runtime import read_image
from maskrt.runtime.inference.progress import Progress
from maskrt.terminal import say

_ANOTHER_MODEL = (
    "it is of another model. Give the --source, --weights, --checkpoint and --config that it was exported with."
)
_ROUNDING = (
    "That is the rounding of resized pictures to uint8, not the network: given the rounded picture, the source model "
    "finds the same (on {image}). Export with --input-type float32 for exact pictures, or allow for it with --budget"
)

_NO_ENGINE = (
    "No engine was given. On a machine with an NVIDIA GPU, build one with `maskrt engine` and name it beside the ONNX "
    "files."
)


@dataclass(frozen=True)
class Request:
    """What is to be compared.

    Attributes:
        source: the reference.
        files: `.onnx` and `.engine` files.
        images: image files, at least one.
        budgets: by precision.
        score_threshold: detections of at least this score must be found again.
        threads: CPU threads of PyTorch and ONNX Runtime; None: one per core.
    """

    source: SourceModel
    files: Sequence[Path]
    images: Sequence[Path]
    budgets: Mapping[str, Budget] = field(default_factory=lambda: DEFAULT_BUDGETS)
    score_threshold: float = 0.5
    threads: int | None = None


def compare(request: Request, stream: TextIO = sys.stderr) -> Comparison:
    """Compare model files with their source model; `stream` is where the progress is shown.

    Raises:
        MaskrtError: a model file or an image cannot be read, a file is not of the source model, or no file can be
            compared here.
    """
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    source = request.source
    candidates, not_compared = _open_candidates(request)
    _warn_of_other_names(candidates, source, stream)
    images = list(request.images)
    if len({image.is_absolute() for image in images}) > 1:
        images = [image.absolute() for image in images]  # a common folder has to be of one kind
    folder = Path(os.path.commonpath([image.parent for image in images]))
    reference = source.reference()
    seen = {candidate.name: FileDifferences() for candidate in candidates}
    records = []
    progress = Progress(len(images), stream)
    try:
        for image in images:
            side = SourceImage(reference, read_image(image), str(image.relative_to(folder)))
            names = source.names_beside(candidates[0].segmenter.class_names)
            instances = {PYTORCH: _instances(side.records, names)}
            for candidate in candidates:
                own_names = candidate.segmenter.class_names
                differences, found = candidate.compare(side, source.names_beside(own_names), request.score_threshold)
                seen[candidate.name].add(differences)
                instances[candidate.name] = _instances(found, own_names)
            height, width = side.pixels.shape[:2]
            records.append(ImageRecord(side.name, height, width, instances))
            progress.step(f"{image}: {len(instances[PYTORCH])} instances")
    finally:
        progress.close()
    return Comparison(
        environment=describe_environment(),
        reference=ReferenceRecord(PYTORCH, source.source, reference.computed_by, reference.remark),
        score_threshold=request.score_threshold,
        candidates=tuple(
            _record(candidate, seen[candidate.name], request, reference, folder) for candidate in candidates
        ),
        not_compared=tuple(not_compared),
        images=tuple(records),
        image_folder=str(folder),
        keypoint_names=() if source.spec.keypoint_head is None else source.spec.keypoint_head.names,
    )


def _open_candidates(request: Request) -> tuple[list[Candidate], list[NotCompared]]:
    """Open the files that can be compared here; tell what cannot."""
    files = request.files
    weights = weights_hash(request.source.model)
    candidates: list[Candidate] = []
    not_compared = [] if any(map(_is_engine, files)) else [NotCompared("TensorRT", _NO_ENGINE)]
    for file, name in zip(files, names_of(files), strict=True):
        try:
            candidate = open_candidate(file, name, request.budgets, request.threads)
        except MaskrtError as error:
            if not _is_engine(file) or local_gpu() is not None:
                raise
            not_compared.append(NotCompared(name, f"There is no NVIDIA GPU here to run it on. {error}"))
            continue
        _check_model(candidate, request.source, weights)
        candidates.append(candidate)
    if not candidates:
        raise ArgumentError(f"Nothing can be compared here: {not_compared[0].why}")
    return candidates, not_compared


def _check_model(candidate: Candidate, source: SourceModel, weights: str) -> None:
    """Check, before any image is computed, that a file is of the source model: its outputs, classes and weights.

    Raises:
        ArgumentError: it is of another one.
    """
    metadata, path = candidate.segmenter.metadata, candidate.path
    keypoints = 0 if source.spec.keypoint_head is None else len(source.spec.keypoint_head.names)
    theirs = source.spec.mask_head is not None, keypoints
    masks = any(output.meaning == "mask_probabilities" for output in metadata.outputs)
    ours = masks, len(metadata.keypoint_names)
    if theirs != ours:
        told = [f"{'masks' if has_masks else 'no masks'} and {n or 'no'} keypoints" for has_masks, n in (theirs, ours)]
        raise ArgumentError(f"{source.source} gives {told[0]}, but {path} {told[1]}: {_ANOTHER_MODEL}")
    labels = source.spec.detection.num_labels
    if labels != len(metadata.class_names):
        raise ArgumentError(
            f"{source.source} has {labels - 1} classes, but {path} {len(metadata.class_names) - 1}: {_ANOTHER_MODEL}"
        )
    if weights != metadata.weights_sha256:
        raise ArgumentError(
            f"{path} was exported from other weights (SHA-256 {metadata.weights_sha256[:12]}…) than those of "
            f"{source.source} ({weights[:12]}…): {_ANOTHER_MODEL}"
        )


def _is_engine(file: Path) -> bool:
    return file.suffix.lower() == ".engine"


def _warn_of_other_names(candidates: Sequence[Candidate], source: SourceModel, stream: TextIO) -> None:
    """Say at once what the verdict will rest on at the latest: detections are matched by the names of their classes."""
    for candidate in candidates:
        names = candidate.segmenter.class_names
        if (different := different_names(source.names_beside(names), names)) is not None:
            say(f"{candidate.name}: {different}", file=stream)


def _record(
    candidate: Candidate, seen: FileDifferences, request: Request, reference: Reference, folder: Path
) -> CandidateRecord:
    """Record the verdict on a file, and what it rests on."""
    limits, segmenter = candidate.limits, candidate.segmenter
    missed = first_in_network(seen.tensors.values(), limits)
    begin = None
    if missed is not None:
        begin = find_beginning(candidate, seen.tensors, missed, reference, read_image(folder / missed.image))
    names = request.source.names_beside(segmenter.class_names), segmenter.class_names
    reasons = judge(seen, limits, names, begin)
    worst = seen.worst
    if set(reasons) == {DETECTIONS} and worst is not None:
        image = read_image(folder / worst[0])
        if is_rounding(candidate, reference, image, names[0], request.score_threshold):
            reasons[DETECTIONS] += f". {_ROUNDING.format(image=worst[0])}"
    return CandidateRecord(
        name=candidate.name,
        file=str(candidate.path),
        precision=segmenter.metadata.precision,
        backend=backend_name(segmenter),
        verdict="fail" if reasons else "pass",
        reasons=tuple(reasons.values()),
        budget=limits.budget,
        first_difference=next(iter(reasons), None),
        tensors=tuple(TensorRecord(**asdict(d), within_budget=limits.keeps(d)) for d in seen.tensors.values()),
        detections=seen.detections.counts(),
        pasting_iou=seen.pasting_iou,
        worst_image=None if worst is None else WorstImage(**asdict(worst[1].counts()), file=worst[0]),
    )


def _instances(records: Records, class_names: Sequence[str]) -> tuple[InstanceRecord, ...]:
    instances = []
    for record in records:
        x, y, width, height = record["bbox"]
        label, mask = record["category_id"], record.get("segmentation")
        rle = None if mask is None else EncodedMask(tuple(mask["size"]), mask["counts"])
        keypoints = tuple(record["keypoints"]) if "keypoints" in record else None
        box = (x, y, x + width, y + height)
        instances.append(InstanceRecord(box, record["score"], label, class_names[label], rle, keypoints))
    return tuple(instances)
