"""Average precision of the demo model on the held-out scenes that came along: the project's pipeline and torchvision's.

The project's is all that a user runs, from the picture to pasted masks, with the export's module on the GPU in the
place of an engine; torchvision's is its model, called eagerly. Both see the same scenes.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from maskrt.contract.metadata import parse_metadata
from maskrt.contract.seal import read_metadata_properties
from maskrt.contract.tensors import INPUTS
from maskrt.evaluation.metrics.match import Detections, pairwise_iou
from maskrt.tools.gpu_check.average_precision import Overlaps, average_precision
from maskrt.tools.gpu_check.carried import ANNOTATIONS, ONNX, SHAPES_STATE
from maskrt.tools.gpu_check.operators import kernels_as_operators
from maskrt.tools.gpu_check.part import Report, Skip, require_gpu
from maskrt.tools.gpu_check.pipeline import export_module

if TYPE_CHECKING:
    from maskrt.runtime.backends.base import Detections as ModelDetections
    from maskrt.runtime.masks.paste import PasteCounts

REFERENCE = "torchvision_fp32"
"""What the others are compared with."""

Find = Callable[[np.ndarray], Detections]
"""From a picture [H, W, 3] uint8 RGB to what is in it, with masks [N, H, W] bool, in pixels of the picture."""


@dataclass(frozen=True)
class LabelledPicture:
    """`image` [H, W, 3] uint8 RGB, and what is in it.

    That is `labels` [M] int64, `boxes` [M, 4] float64 xyxy in pixels and `masks` [M, H, W] bool.
    """

    image: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    masks: np.ndarray


def run(report: Report) -> None:
    """Measure both pipelines in FP32 and FP16."""
    require_gpu()
    if not all((report.carried / name).is_file() for name in (ANNOTATIONS, ONNX, SHAPES_STATE)):
        raise Skip(f"no scenes came along in {report.carried}: `python -m maskrt.tools.gpu_check --prepare` makes some")
    from maskrt.shapes.model import build_model

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    model = build_model()
    model.load_state_dict(torch.load(report.carried / SHAPES_STATE, weights_only=True))
    measure(report, model.cuda().eval(), list(read_pictures(report.carried / ANNOTATIONS)), report.carried / ONNX)


def measure(report: Report, model: nn.Module, pictures: Sequence[LabelledPicture], onnx: Path) -> None:
    """Measure a model of torchvision, where it is, on pictures; `onnx`: its exported file, for the metadata."""
    report.add("scenes", len(pictures))
    reference = _score(_torchvision(model, half=False), pictures)
    report.add(REFERENCE, reference)
    with kernels_as_operators():
        for half in (False, True):
            found = _score(_ours(model, onnx, half=half), pictures)
            report.add("ours_fp16" if half else "ours_fp32", _beside(reference, found))
    try:
        report.add("torchvision_fp16", _beside(reference, _score(_torchvision(model, half=True), pictures)))
    except RuntimeError as error:  # some versions mix types in it
        report.add("torchvision_fp16", f"it fails: {error}")


def read_pictures(annotations: Path) -> Iterator[LabelledPicture]:
    """Read a COCO file whose masks are compressed run lengths, and the pictures beside it."""
    from maskrt.runtime import read_image
    from maskrt.runtime.masks.rle import counts_to_mask, decompress_counts

    truth = json.loads(annotations.read_text(encoding="utf-8"))
    for entry in sorted(truth["images"], key=lambda entry: int(entry["id"])):
        records = [record for record in truth["annotations"] if record["image_id"] == entry["id"]]
        image = read_image(annotations.parent / entry["file_name"])
        masks = [counts_to_mask(decompress_counts(r["segmentation"]["counts"]), *image.shape[:2]) for r in records]
        boxes = np.array([record["bbox"] for record in records], dtype=np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        labels = np.array([record["category_id"] for record in records], dtype=np.int64)
        yield LabelledPicture(image, labels, boxes, np.array(masks, dtype=bool).reshape(-1, *image.shape[:2]))


def _torchvision(model: nn.Module, *, half: bool) -> Find:
    model = copy.deepcopy(model).half().eval() if half else model
    weight = next(model.parameters())

    def find(image: np.ndarray) -> Detections:
        picture = torch.from_numpy(image).to(weight.device).permute(2, 0, 1).float() / 255
        with torch.inference_mode():
            (result,) = model([picture.to(weight.dtype)])
        boxes, scores, labels = (result[name].float().cpu().numpy() for name in ("boxes", "scores", "labels"))
        masks = (result["masks"][:, 0] > 0.5).cpu().numpy()
        return Detections(boxes, scores, labels.astype(np.int64), masks)

    return find


def _ours(model: nn.Module, onnx: Path, *, half: bool) -> Find:
    from maskrt.runtime import Segmenter

    segmenter = Segmenter.of(ModuleBackend(model, onnx, half=half), onnx)

    def find(image: np.ndarray) -> Detections:
        found = segmenter.predict(image)
        return Detections(found.boxes, found.scores, found.labels, found.masks())

    return find


class ModuleBackend:
    """The export's module in the place of an inference engine; see `maskrt.runtime.backends.base.Backend`.

    Args:
        model: of torchvision, on its device.
        onnx: its exported file, for the metadata.
        half: see `pipeline.export_module`.
    """

    input_dtype = np.dtype(np.uint8)
    runs_at_once = 1
    paste_counts: PasteCounts | None = None
    resizes = False

    def __init__(self, model: nn.Module, onnx: Path, *, half: bool) -> None:
        self.metadata = parse_metadata(read_metadata_properties(onnx), str(onnx))
        self._module = export_module(model, half=half)
        self._device = next(model.parameters()).device
        self.providers: tuple[str, ...] = (str(self._device),)

    def run(self, feed: Mapping[str, Any]) -> ModelDetections:
        """Run one batch."""
        from maskrt.runtime.backends.base import Detections as ModelDetections
        from maskrt.runtime.backends.base import output_names

        with torch.inference_mode():
            outputs = self._module(*(torch.from_numpy(feed[name]).to(self._device) for name in INPUTS))
        arrays = (output.cpu().numpy() for output in outputs)
        return ModelDetections.of(dict(zip(output_names(self.metadata), arrays, strict=True)))


def _score(find: Find, pictures: Sequence[LabelledPicture]) -> dict[str, Any]:
    """Compute AP of boxes and of masks, by COCO's names for them."""
    of_boxes: list[Overlaps] = []
    of_masks: list[Overlaps] = []
    for picture in pictures:
        found = find(picture.image)
        assert found.masks is not None  # of a model with masks
        for overlaps, iou in (
            (of_boxes, pairwise_iou(found.boxes, picture.boxes)),
            (of_masks, mask_iou(found.masks, picture.masks)),
        ):
            overlaps.append(Overlaps(found.scores, found.labels, picture.labels, iou))
    return {
        "detections": sum(len(image.scores) for image in of_boxes),
        "bbox": average_precision(of_boxes),
        "segm": average_precision(of_masks),
    }


def mask_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Compute the IoU of masks [N, H, W] and [M, H, W] bool → [N, M] float64; 0 where both are empty."""
    # Counts of pixels, which float32 holds exactly up to 16 million.
    rows, columns = (masks.reshape(len(masks), np.prod(masks.shape[1:])).astype(np.float32) for masks in (a, b))
    intersection = (rows @ columns.T).astype(np.float64)
    union = rows.sum(axis=1, dtype=np.float64)[:, None] + columns.sum(axis=1, dtype=np.float64) - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def _beside(reference: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    changes = {kind: found[kind]["AP"] - reference[kind]["AP"] for kind in ("bbox", "segm")}
    return {**found, f"minus_{REFERENCE}": changes}
