"""torchvision's own inference: its `GeneralizedRCNN.forward`, stopped between its parts."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.image_list import ImageList

from maskrt.export.families.torchvision.operations import PASTE, paste_masks, to_tensor
from maskrt.export.families.torchvision.support import as_feature_maps
from maskrt.export.rcnn.spec import ModelSpec
from maskrt.export.recorder import ModuleRecorder
from maskrt.export.reference import (
    OWN_THRESHOLDS,
    Canvas,
    CanvasDetections,
    PictureDetections,
    PooledRois,
    Reference,
    Trace,
)
from maskrt.options import Thresholds


class TorchvisionReference(Reference):
    """See `maskrt.export.reference.Reference`; the arguments are those of `families.base.Family.reference`."""

    def __init__(self, model: GeneralizedRCNN, spec: ModelSpec, device: torch.device, *, compiled: bool) -> None:
        super().__init__(spec, device)
        if compiled or device.type != "cpu":
            model = copy.deepcopy(model).to(device).eval()  # copies of torch.fx graphs are in training mode
        self._model, self._compiled = model, compiled
        if compiled:
            # What has weights; between them, shapes follow from the data, which breaks graphs and compiles without end.
            heads = model.roi_heads
            of_boxes, of_masks = (heads.box_head, heads.box_predictor), (heads.mask_head, heads.mask_predictor)
            of_keypoints = heads.keypoint_head, heads.keypoint_predictor
            for part in (model.backbone, model.rpn.head, *of_boxes, *of_masks, *of_keypoints):
                if part is not None:
                    part.compile()

    @property
    def computed_by(self) -> str:
        """See `Reference.computed_by`."""
        return f"torchvision {torchvision.__version__.partition('+')[0]}"

    @torch.inference_mode()
    def preprocess(self, pictures: Sequence[np.ndarray]) -> Canvas:
        """See `Reference.preprocess`."""
        images, _ = self._model.transform([to_tensor(picture, self.device) for picture in pictures])
        return Canvas(images.tensors, images.image_sizes, [picture.shape[:2] for picture in pictures])

    @torch.inference_mode()
    def infer(self, canvas: Canvas, thresholds: Thresholds = OWN_THRESHOLDS) -> list[CanvasDetections]:
        """See `Reference.infer`."""
        images = ImageList(canvas.tensors, list(canvas.image_sizes))
        with self._thresholds(thresholds), torch.autocast(self.device.type, torch.float16, enabled=self._compiled):
            features = as_feature_maps(self._model.backbone(images.tensors))
            proposals, _ = self._model.rpn(images, features)
            results, _ = self._model.roi_heads(features, proposals, images.image_sizes)
        return [
            CanvasDetections(
                result["boxes"],
                result["scores"],
                result["labels"],
                result["masks"][:, 0] if "masks" in result else None,
                _with_scores(result["keypoints"], result["keypoints_scores"]) if "keypoints" in result else None,
            )
            for result in results
        ]

    @torch.inference_mode()
    def postprocess(self, detections: Sequence[CanvasDetections], canvas: Canvas) -> list[PictureDetections]:
        """See `Reference.postprocess`."""
        results = []
        for found in detections:
            result = {"boxes": found.boxes}
            if found.mask_probabilities is not None:
                result["masks"] = found.mask_probabilities[:, None]
            if found.keypoints is not None:
                result["keypoints"] = found.keypoints
            results.append(result)
        results = self._model.transform.postprocess(results, list(canvas.image_sizes), list(canvas.picture_sizes))
        return [
            PictureDetections(
                result["boxes"],
                found.scores,
                found.labels,
                result["masks"][:, 0] > PASTE.threshold if "masks" in result else None,
                result.get("keypoints"),
            )
            for result, found in zip(results, detections, strict=True)
        ]

    def detect(self, picture: np.ndarray, thresholds: Thresholds = OWN_THRESHOLDS) -> PictureDetections:
        """See `Reference.detect`."""
        (found,) = self.forward([picture], thresholds)
        return found

    @torch.inference_mode()
    def forward(
        self, pictures: Sequence[np.ndarray], thresholds: Thresholds = OWN_THRESHOLDS
    ) -> list[PictureDetections]:
        """See `Reference.forward`."""
        with self._thresholds(thresholds):
            results = self._model([to_tensor(picture, self.device) for picture in pictures])
        return [
            PictureDetections(
                result["boxes"],
                result["scores"],
                result["labels"],
                result["masks"][:, 0] > PASTE.threshold if "masks" in result else None,
                _with_scores(result["keypoints"], result["keypoints_scores"]) if "keypoints" in result else None,
            )
            for result in results
        ]

    def paste(self, probabilities: Tensor, boxes: Tensor, picture_size: tuple[int, int]) -> Iterator[np.ndarray]:
        """See `Reference.paste`."""
        return paste_masks(probabilities, boxes, picture_size)

    @torch.inference_mode()
    def trace(self, levels: np.ndarray, image_size: tuple[int, int], modules: Collection[str]) -> Trace:
        """See `Reference.trace`."""
        height, width = image_size
        images = torch.from_numpy(levels).to(self.device).permute(0, 3, 1, 2).float() / 255
        tensors = torch.zeros_like(images)
        tensors[:, :, :height, :width] = self._model.transform.normalize(images[:, :, :height, :width])
        heads = self._model.roi_heads
        pools = [heads.box_roi_pool, *([heads.mask_roi_pool] if heads.has_mask() else [])]
        pools += [heads.keypoint_roi_pool] if heads.has_keypoint() else []
        with _recorded(pools) as poolings, ModuleRecorder(self._model, modules) as recorder:
            self.infer(Canvas(tensors, [image_size], [image_size]))
        return Trace(poolings, recorder.outputs())

    @contextlib.contextmanager
    def _thresholds(self, thresholds: Thresholds) -> Iterator[None]:
        """With other thresholds than the model's own for a while."""
        heads = self._model.roi_heads
        own = heads.score_thresh, heads.nms_thresh
        heads.score_thresh = own[0] if thresholds.score is None else thresholds.score
        heads.nms_thresh = own[1] if thresholds.nms is None else thresholds.nms
        try:
            yield
        finally:
            heads.score_thresh, heads.nms_thresh = own


def _with_scores(keypoints: Tensor, scores: Tensor) -> Tensor:
    """Put the score in the place of the visibility, which torchvision sets to 1."""
    return torch.cat((keypoints[..., :2], scores[..., None]), dim=2)


@contextlib.contextmanager
def _recorded(pools: Sequence[nn.Module]) -> Iterator[list[PooledRois]]:
    """While active, what RoIAligns do on one picture is appended to a list."""
    poolings: list[PooledRois] = []

    def keep(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        (rois,) = inputs[1]
        poolings.append(PooledRois(rois.cpu().numpy().copy(), output.float().cpu().numpy().copy()))

    handles = [pool.register_forward_hook(keep) for pool in pools]
    try:
        yield poolings
    finally:
        for handle in handles:
            handle.remove()
