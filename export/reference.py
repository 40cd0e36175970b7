"""What verifying, comparing, evaluating and timing ask of a source model: its own inference, whatever its framework."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskrt.export.rcnn.spec import ModelSpec, Normalization
from maskrt.options import Thresholds

OWN_THRESHOLDS = Thresholds()
"""The model's own."""


@dataclass(frozen=True)
class Canvas:
    """Pictures as the network takes them.

    Attributes:
        tensors: `[B, 3, H, W]` float32, normalised; the padding is zero.
        image_sizes: height and width of each resized picture inside the canvas.
        picture_sizes: height and width of each picture.
    """

    tensors: Tensor
    image_sizes: Sequence[tuple[int, int]]
    picture_sizes: Sequence[tuple[int, int]]


@dataclass(frozen=True)
class CanvasDetections:
    """What is found in one picture, in canvas pixels, best score first.

    Attributes:
        boxes: `[N, 4]` float32 xyxy.
        scores: `[N]` float32.
        labels: `[N]` int64; 0 would be the background.
        mask_probabilities: `[N, M, M]` float32 of the inside of the box; None for a model without masks.
        keypoints: `[N, number of keypoints, 3]` float32, x, y, score; None for a model without keypoints.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    mask_probabilities: Tensor | None
    keypoints: Tensor | None = None

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True)
class PictureDetections:
    """The same in pixels of the picture; `masks` are `[N, H, W]` bool."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: Tensor | None
    keypoints: Tensor | None = None

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True)
class PooledRois:
    """What one RoIAlign of the model did on one picture.

    Attributes:
        rois: `[R, 4]` float32 xyxy in canvas pixels, best score first.
        features: of each, `[R, C, P, P]` float32.
    """

    rois: np.ndarray
    features: np.ndarray


@dataclass(frozen=True)
class Trace:
    """Tensors on the way through the network, for one picture.

    Attributes:
        poolings: each RoIAlign in the order in which they ran: that of the box head, on the proposals, and that of the
            mask head, on the detected boxes.
        outputs: of the modules that were asked for, by path, one array for each time that the module ran. Where batch
            normalisation reads a convolution, and is folded into it when exported, its output stands in the place of
            the convolution's.
    """

    poolings: Sequence[PooledRois]
    outputs: Mapping[str, Sequence[np.ndarray]]


class Reference(ABC):
    """A source model's own inference: the framework's, where it is installed, else its spec in plain PyTorch.

    Pictures are `[H, W, 3]` uint8 RGB. Methods return when a GPU has been given its work; `torch.cuda.synchronize`
    waits until it is done.

    Attributes:
        spec: of the model.
        device: where it runs.
    """

    def __init__(self, spec: ModelSpec, device: torch.device) -> None:
        self.spec, self.device = spec, device

    @property
    def computed_by(self) -> str:
        """What finds something in pictures (`detect`): a framework, with its version, or "PyTorch" for the spec."""
        return "PyTorch"

    @property
    def remark(self) -> str:
        """The same as a sentence, and, where it is not the framework, why not."""
        return f"What the source model finds is computed by {self.computed_by}."

    @abstractmethod
    def preprocess(self, pictures: Sequence[np.ndarray]) -> Canvas:
        """Resize, normalise and pad."""

    @abstractmethod
    def infer(self, canvas: Canvas, thresholds: Thresholds = OWN_THRESHOLDS) -> list[CanvasDetections]:
        """Run the network, up to mask probabilities and keypoints."""

    @abstractmethod
    def postprocess(self, detections: Sequence[CanvasDetections], canvas: Canvas) -> list[PictureDetections]:
        """Bring detections back to the pictures, and paste their masks."""

    @abstractmethod
    def paste(self, probabilities: Tensor, boxes: Tensor, picture_size: tuple[int, int]) -> Iterator[np.ndarray]:
        """Paste masks, as `postprocess` does, one at a time: a canvas for each would not fit for large pictures.

        Args:
            probabilities: `[N, M, M]` float32.
            boxes: `[N, 4]` float32 xyxy in pixels of the picture.
            picture_size: height and width.

        Yields:
            `[H, W]` bool.
        """

    @abstractmethod
    def trace(self, levels: np.ndarray, image_size: tuple[int, int], modules: Collection[str]) -> Trace:
        """Run the network on a canvas, and keep tensors.

        Args:
            levels: `[1, H, W, 3]` uint8 or float32 RGB, grey levels 0-255, the picture at the top left.
            image_size: its height and width.
            modules: paths of modules of the source model.
        """

    def detect(self, picture: np.ndarray, thresholds: Thresholds = OWN_THRESHOLDS) -> PictureDetections:
        """Find what is in a picture, from its pixels to pasted masks, best score first."""
        canvas = self.preprocess([picture])
        (found,) = self.postprocess(self.infer(canvas, thresholds), canvas)
        return found

    def forward(
        self, pictures: Sequence[np.ndarray], thresholds: Thresholds = OWN_THRESHOLDS
    ) -> list[PictureDetections] | None:
        """Call the framework's model as a whole, where there is one; the methods above call its parts.

        Returns:
            What is found in each picture; None where these methods are all that there is.
        """
        return None

    def records(
        self, picture: np.ndarray, thresholds: Thresholds = OWN_THRESHOLDS, image_id: int = 0
    ) -> list[dict[str, Any]]:
        """Return what is found in a picture as COCO result records, best score first.

        `category_id` is the label; `segmentation` (compressed run-length encoding) is there where the model has masks,
        `keypoints` (x, y, score of one behind the other) where it has keypoints.
        """
        return coco_records(self.detect(picture, thresholds), image_id)

    def canvas_levels(self, picture: np.ndarray) -> np.ndarray:
        """Return the picture as the network takes it, without the normalisation: `[1, H, W, 3]` float32 RGB, 0-255."""
        canvas = self.preprocess([picture])
        return to_levels(canvas, self.spec.normalization)


def best_device() -> torch.device:
    """Return the GPU where torch has one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def coco_records(found: PictureDetections, image_id: int = 0) -> list[dict[str, Any]]:
    """Return what was found in a picture as COCO result records; see `Reference.records`."""
    boxes, scores, labels = (values.tolist() for values in (found.boxes, found.scores, found.labels))
    records: list[dict[str, Any]] = [
        {"image_id": image_id, "category_id": label, "bbox": [x0, y0, x1 - x0, y1 - y0], "score": score}
        for (x0, y0, x1, y1), score, label in zip(boxes, scores, labels, strict=True)
    ]
    if found.masks is not None:
        for record, rle in zip(records, encode_masks(found.masks), strict=True):
            record["segmentation"] = {"size": rle["size"], "counts": rle["counts"].decode("ascii")}
    if found.keypoints is not None:
        for record, keypoints in zip(records, found.keypoints.flatten(1).tolist(), strict=True):
            record["keypoints"] = keypoints
    return records


def encode_masks(masks: Tensor) -> Iterator[dict[str, Any]]:
    """Masks `[N, H, W]` bool as COCO's run-length encodings, by pycocotools: `size` [height, width], `counts` bytes."""
    from pycocotools import mask as coco_mask

    for mask in masks:
        yield coco_mask.encode(np.asfortranarray(mask.cpu().numpy(), dtype=np.uint8))


def to_levels(canvas: Canvas, normalization: Normalization) -> np.ndarray:
    """Return a canvas without its normalisation: `[B, H, W, 3]` float32 RGB, grey levels 0-255, zero in the padding."""
    device = canvas.tensors.device
    mean, std = (torch.tensor(v, device=device)[:, None, None] for v in (normalization.mean, normalization.std))
    levels = torch.zeros_like(canvas.tensors)
    for row, tensor, (height, width) in zip(levels, canvas.tensors, canvas.image_sizes, strict=True):
        row[:, :height, :width] = (tensor[:, :height, :width] * std + mean) * normalization.divisor
    if normalization.colors == "BGR":
        levels = levels.flip(1)
    return levels.permute(0, 2, 3, 1).cpu().numpy()


def with_levels(canvas: Canvas, levels: np.ndarray, normalization: Normalization) -> Canvas:
    """Return a canvas with other grey levels, normalised; the inverse of `to_levels`.

    Args:
        canvas: its padding stays zero.
        levels: `[B, H, W, 3]` RGB, 0-255, of the canvas' size.
        normalization: of the model.
    """
    device = canvas.tensors.device
    mean, std = (torch.tensor(v, device=device)[:, None, None] for v in (normalization.mean, normalization.std))
    planes = torch.from_numpy(levels).to(device).permute(0, 3, 1, 2).float()
    if normalization.colors == "BGR":
        planes = planes.flip(1)
    tensors = torch.zeros_like(canvas.tensors)
    for row, plane, (height, width) in zip(tensors, planes, canvas.image_sizes, strict=True):
        row[:, :height, :width] = (plane[:, :height, :width] / normalization.divisor - mean) / std
    return replace(canvas, tensors=tensors)
