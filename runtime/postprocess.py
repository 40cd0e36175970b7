"""From what a model gave to instances in pixels of the images."""

from pathlib import Path

import numpy as np

from maskrt.contract.metadata import ModelMetadata
from maskrt.errors import ModelError
from maskrt.runtime.backends.base import Detections
from maskrt.runtime.masks.paste import PasteCounts
from maskrt.runtime.masks.paste import paste_counts as paste_on_cpu
from maskrt.runtime.structures.instances import Instances
from maskrt.runtime.structures.masks import GridMasks
from maskrt.runtime.transforms.boxes import resize_keypoints
from maskrt.runtime.transforms.canvas import Batch, boxes_back


def make_instances(
    detections: Detections,
    batch: Batch,
    metadata: ModelMetadata,
    path: Path,
    paste_counts: PasteCounts | None = None,
) -> list[Instances]:
    """Check the detections of a batch, and bring them back to the original images.

    Args:
        detections: the outputs of the model.
        batch: the images that it saw.
        metadata: of the model.
        path: of the model file, for messages.
        paste_counts: how masks become run lengths; None: on the CPU.

    Raises:
        ModelError: the detections are none that a sound model gives.
    """
    results = []
    masks, keypoints = _mask_probabilities(detections, metadata, path), _keypoints(detections, metadata, path)
    for i, (size, original_size) in enumerate(zip(batch.image_sizes, batch.original_sizes, strict=True)):
        number = int(detections.num_detections[i])
        if not 0 <= number <= detections.boxes.shape[1]:
            raise ModelError(
                f"{path} is damaged: it counted {number} detections in rows for {detections.boxes.shape[1]}."
            )
        boxes, scores, labels = (rows[i, :number] for rows in detections[1:4])
        _check(boxes, scores, labels, metadata, path)
        boxes, kept = boxes_back(boxes, size, original_size, metadata.pipeline)
        # To choose rows by a mask copies them: those behind the detections are not kept alive.
        boxes, scores, labels = boxes[kept], scores[kept], labels[kept]
        if masks is None:
            segmentations = None
        else:
            paste = metadata.pipeline.paste
            grid = masks[i, :number][kept]
            segmentations = GridMasks(grid, boxes, original_size, paste, paste_counts or paste_on_cpu)
        points = None if keypoints is None else keypoints[i, :number][kept]
        if points is not None and not np.isfinite(points).all():
            raise _not_finite("keypoints", metadata, path)
        results.append(
            Instances(
                boxes,
                scores,
                labels,
                segmentations,
                metadata.class_names,
                original_size,
                None if points is None else resize_keypoints(points, size, original_size),
                metadata.keypoint_names,
            )
        )
    return results


def _mask_probabilities(detections: Detections, metadata: ModelMetadata, path: Path) -> np.ndarray | None:
    """[B, K, M, M] float32; None for a model without masks."""
    for output in metadata.outputs:
        if output.meaning == "mask_probabilities" and output.name in detections.others:
            masks = detections.others[output.name]
            if masks.ndim != 4 or masks.shape[2] != masks.shape[3]:
                raise ModelError(f"{path} is damaged: its masks are not square but of shape {list(masks.shape)}.")
            return masks
    return None


def _keypoints(detections: Detections, metadata: ModelMetadata, path: Path) -> np.ndarray | None:
    """[B, K, N, 3] float32; None for a model without keypoints."""
    for output in metadata.outputs:
        if output.meaning == "keypoints" and output.name in detections.others:
            keypoints = detections.others[output.name]
            if keypoints.shape[2:] != (len(metadata.keypoint_names), 3):
                raise ModelError(f"{path} is damaged: its keypoints are of shape {list(keypoints.shape)}.")
            return keypoints
    return None


def _not_finite(what: str, metadata: ModelMetadata, path: Path) -> ModelError:
    return ModelError(
        f"{path} gave {what} that are not finite numbers: its weights are damaged, or too large for its precision "
        f"({metadata.precision})."
    )


def _check(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, metadata: ModelMetadata, path: Path) -> None:
    if not np.isfinite(boxes).all() or not np.isfinite(scores).all():
        raise _not_finite("boxes or scores", metadata, path)
    unknown = labels[(labels < 1) | (labels >= len(metadata.class_names))]
    if len(unknown):
        raise ModelError(
            f"{path} is damaged: it gave label {unknown[0]}, but its metadata names labels 1 to "
            f"{len(metadata.class_names) - 1}."
        )
