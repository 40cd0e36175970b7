"""The inference of a torchvision Mask R-CNN or Faster R-CNN, re-expressed with shapes that follow from the input's.

torchvision loops over images and filters with boolean indices, so its shapes depend on the data. Here every image has a
fixed number of proposals and detections, and rows that do not exist are masked. The modules and their weights are the
source model's own; so is the arithmetic of what lies between them, line by line (torchvision/models/detection).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import LevelMapper

from maskrt.contract.tensors import round_down_to_float32
from maskrt.export.ops import batched_nms, multilevel_roi_align
from maskrt.export.rcnn.levels import level_thresholds

SIZE_DIVISOR = 32
"""Canvas height and width are multiples of this."""


@dataclass(frozen=True)
class RoIPooling:
    """One of the model's RoIAlign layers: which features it reads, and the operator's attributes."""

    feature_names: tuple[str, ...]
    output_size: tuple[int, int]
    sampling_ratio: int
    scales: tuple[float, ...]
    thresholds: tuple[float, ...]

    @classmethod
    def of(cls, layer: MultiScaleRoIAlign, features: dict[str, Tensor], canvas_height: int) -> RoIPooling:
        """Settings of `layer`, with scales inferred from `features` of a canvas of that height as torchvision does."""
        names = [name for name in features if name in layer.featmap_names]
        scales = [2.0 ** round(math.log2(features[name].shape[-2] / canvas_height)) for name in names]
        k_min, k_max = (int(-math.log2(scale)) for scale in (scales[0], scales[-1]))
        mapper = LevelMapper(k_min, k_max, layer.canonical_scale, layer.canonical_level)
        used = 1 if len(names) == 1 else k_max - k_min + 1  # levels of equal stride: only the first is ever chosen
        height, width = layer.output_size
        return cls(
            tuple(names[:used]),
            (int(height), int(width)),
            max(int(layer.sampling_ratio), 0),
            tuple(scales[:used]),
            tuple(level_thresholds(mapper)) if used > 1 else (),
        )

    def padded(self, levels: int) -> RoIPooling:
        """The same over more levels, which no RoI reaches: all nodes of a file share one function body."""
        missing = levels - len(self.feature_names)
        return RoIPooling(
            self.feature_names + self.feature_names[-1:] * missing,
            self.output_size,
            self.sampling_ratio,
            self.scales + self.scales[-1:] * missing,
            self.thresholds + (math.inf,) * missing,
        )

    def __call__(self, features: dict[str, Tensor], rois: Tensor) -> Tensor:
        """`rois` `[B,R,4]` xyxy in canvas pixels → `[B*R,C,P,P]`."""
        chosen = [features[name] for name in self.feature_names]
        height, width = self.output_size
        return multilevel_roi_align(
            rois, chosen, height, width, self.sampling_ratio, False, list(self.scales), list(self.thresholds)
        )


def decode_boxes(coder: BoxCoder, deltas: Tensor, boxes: Tensor) -> Tensor:
    """`BoxCoder.decode_single` for deltas and boxes `[…,4]` that broadcast; boxes xyxy in canvas pixels."""
    widths = boxes[..., 2] - boxes[..., 0]
    heights = boxes[..., 3] - boxes[..., 1]
    center_x = boxes[..., 0] + 0.5 * widths
    center_y = boxes[..., 1] + 0.5 * heights
    wx, wy, ww, wh = coder.weights
    dx, dy = deltas[..., 0] / wx, deltas[..., 1] / wy
    dw = torch.clamp(deltas[..., 2] / ww, max=coder.bbox_xform_clip)
    dh = torch.clamp(deltas[..., 3] / wh, max=coder.bbox_xform_clip)
    x, y = dx * widths + center_x, dy * heights + center_y
    half_width, half_height = 0.5 * (torch.exp(dw) * widths), 0.5 * (torch.exp(dh) * heights)
    return torch.stack((x - half_width, y - half_height, x + half_width, y + half_height), dim=-1)


def clip_boxes(boxes: Tensor, limits: Tensor) -> Tensor:
    """Boxes `[B,N,4]` moved inside images; `limits` `[B,1,4]` is width, height, width, height."""
    return torch.minimum(boxes.clamp(min=0), limits)


def _large_enough(boxes: Tensor, min_size: float) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0] >= min_size) & (boxes[..., 3] - boxes[..., 1] >= min_size)


def _gather_rows(values: Tensor, index: Tensor) -> Tensor:
    """`values` `[B,N,D]` at `index` `[B,K]` → `[B,K,D]`."""
    return torch.gather(values, 1, index[..., None].expand(-1, -1, values.shape[-1]))


class InferenceGraph(nn.Module):
    """The whole inference as one module.

    `forward` takes `images` `[B,H,W,3]` RGB 0–255 (uint8 or float32; H and W multiples of 32; valid part at the top
    left), `image_sizes` `[B,2]` int32 (valid height, width), `score_threshold` and `nms_threshold` `[B,1]` float32. It
    returns `num_detections` `[B]` int32, `boxes` `[B,K,4]` float32 xyxy in canvas pixels, `scores` `[B,K]` float32,
    `labels` `[B,K]` int32 and, for a Mask R-CNN, `masks` `[B,K,M,M]` float32 probabilities of the detected class. Rows
    past `num_detections` are zero.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: FasterRCNN, features: dict[str, Tensor], canvas_height: int) -> None:
        """`model` in evaluation mode; `features` are its backbone's outputs for a canvas of `canvas_height`."""
        super().__init__()
        self.backbone, self.rpn, self.roi_heads = model.backbone, model.rpn, model.roi_heads
        self.register_buffer("mean", torch.tensor(model.transform.image_mean, dtype=torch.float32)[:, None, None])
        self.register_buffer("std", torch.tensor(model.transform.image_std, dtype=torch.float32)[:, None, None])
        for level, cells in enumerate(model.rpn.anchor_generator.cell_anchors):
            self.register_buffer(f"cell_anchors_{level}", cells.float())
        self.has_masks = bool(model.roi_heads.has_mask())
        box_pooling = RoIPooling.of(model.roi_heads.box_roi_pool, features, canvas_height)
        self.pooled_levels = len(box_pooling.feature_names)
        if self.has_masks:
            mask_pooling = RoIPooling.of(model.roi_heads.mask_roi_pool, features, canvas_height)
            self.pooled_levels = max(self.pooled_levels, len(mask_pooling.feature_names))
            self.mask_pooling = mask_pooling.padded(self.pooled_levels)
        self.box_pooling = box_pooling.padded(self.pooled_levels)

    def forward(
        self, images: Tensor, image_sizes: Tensor, score_threshold: Tensor, nms_threshold: Tensor
    ) -> tuple[Tensor, ...]:
        canvas = self._normalize(images, image_sizes)
        features = self.backbone(canvas)
        sizes = image_sizes.to(torch.float32)
        limits = torch.stack((sizes[:, 1], sizes[:, 0], sizes[:, 1], sizes[:, 0]), dim=1)[:, None, :]
        proposals, is_proposal = self._propose(list(features.values()), canvas.shape[-2:], limits)
        num, boxes, scores, labels, valid = self._detect(
            features, proposals, is_proposal, limits, score_threshold, nms_threshold
        )
        if not self.has_masks:
            return num, boxes, scores, labels
        return num, boxes, scores, labels, self._segment(features, boxes, labels, valid)

    def _normalize(self, images: Tensor, image_sizes: Tensor) -> Tensor:
        """GeneralizedRCNNTransform.normalize, and zeros outside of each image, where torchvision pads after it."""
        x = (images.to(torch.float32).permute(0, 3, 1, 2) / 255 - self.mean) / self.std
        rows = torch.arange(images.shape[1], device=images.device)[None, :] < image_sizes[:, :1]
        columns = torch.arange(images.shape[2], device=images.device)[None, :] < image_sizes[:, 1:]
        inside = rows[:, None, :, None] & columns[:, None, None, :]
        return torch.where(inside, x, torch.zeros((), dtype=x.dtype))

    def _propose(self, features: list[Tensor], canvas_size: Sequence[int], limits: Tensor) -> tuple[Tensor, Tensor]:
        """RegionProposalNetwork: proposals `[B,R,4]` xyxy in canvas pixels, and which of the rows exist `[B,R]`."""
        boxes, scores, groups = [], [], []
        all_logits, all_deltas = self.rpn.head(features)
        for level, (logits, deltas) in enumerate(zip(all_logits, all_deltas, strict=True)):
            level_boxes, level_scores = self._best_anchors(level, logits, deltas, canvas_size)
            boxes.append(clip_boxes(level_boxes, limits))
            scores.append(level_scores)
            groups.append(torch.full_like(level_scores, level, dtype=torch.int32))
        box, score = torch.cat(boxes, dim=1), torch.cat(scores, dim=1)
        kept = _large_enough(box, self.rpn.min_size) & (score >= self.rpn.score_thresh)
        _, index = batched_nms(
            box,
            torch.where(kept, score, -1.0),
            torch.cat(groups, dim=1),
            score.new_full((score.shape[0], 1), float(round_down_to_float32(self.rpn.nms_thresh))),
            score.new_full((score.shape[0], 1), -0.5),
            self.rpn.post_nms_top_n(),
        )
        exists = index >= 0
        chosen = _gather_rows(box, index.clamp(min=0).to(torch.int64))
        return torch.where(exists[..., None], chosen, 0.0), exists

    def _best_anchors(
        self, level: int, logits: Tensor, deltas: Tensor, canvas_size: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """The anchors of the highest objectness of one level, decoded: boxes `[B,k,4]`, probabilities `[B,k]`.

        Only these are decoded. Their positions follow from their indices, so that the grid is never laid out.
        """
        cells = getattr(self, f"cell_anchors_{level}")
        height, width = logits.shape[-2:]
        flat = logits.permute(0, 2, 3, 1).flatten(1)
        per_anchor = deltas.unflatten(1, (cells.shape[0], 4)).permute(0, 3, 4, 1, 2).flatten(1, 3)
        count = torch.sym_min(flat.shape[1], self.rpn.pre_nms_top_n())
        best, index = torch.topk(flat, count, dim=1)
        position = index // cells.shape[0]
        row = position // width
        # AnchorGenerator's stride is the rounded-down ratio, which is not a power of two on levels of odd size.
        x = (position - row * width) * (canvas_size[1] // width)
        y = row * (canvas_size[0] // height)
        shift = torch.stack((x, y, x, y), dim=-1).to(torch.float32)
        boxes = decode_boxes(
            self.rpn.box_coder,
            _gather_rows(per_anchor, index),
            cells[index - position * cells.shape[0]] + shift,
        )
        return boxes, torch.sigmoid(best)

    def _detect(
        self,
        features: dict[str, Tensor],
        proposals: Tensor,
        is_proposal: Tensor,
        limits: Tensor,
        score_threshold: Tensor,
        nms_threshold: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """RoIHeads.postprocess_detections: number, boxes, scores, labels, and which rows exist."""
        batch, count = proposals.shape[:2]
        logits, deltas = self.roi_heads.box_predictor(self.roi_heads.box_head(self.box_pooling(features, proposals)))
        classes = logits.shape[-1]
        probabilities = torch.softmax(logits, dim=-1).unflatten(0, (batch, count))[..., 1:]
        deltas = deltas.unflatten(1, (classes, 4)).unflatten(0, (batch, count))[:, :, 1:]
        decoded = decode_boxes(self.roi_heads.box_coder, deltas, proposals[:, :, None, :])
        boxes = clip_boxes(decoded.flatten(1, 2), limits)
        exists = is_proposal[..., None].expand(-1, -1, classes - 1).flatten(1)
        scores = torch.where(exists & _large_enough(boxes, 1e-2), probabilities.flatten(1), -1.0)
        labels = torch.arange(1, classes, dtype=torch.int32).repeat(batch, count)
        num, index = batched_nms(
            boxes, scores, labels, nms_threshold, score_threshold, self.roi_heads.detections_per_img
        )
        valid = index >= 0
        row = index.clamp(min=0).to(torch.int64)
        return (
            num,
            torch.where(valid[..., None], _gather_rows(boxes, row), 0.0),
            torch.where(valid, torch.gather(scores, 1, row), 0.0),
            torch.where(valid, torch.gather(labels, 1, row), 0),
            valid,
        )

    def _segment(self, features: dict[str, Tensor], boxes: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
        """maskrcnn_inference: the mask of the detected class as probabilities `[B,K,M,M]`."""
        batch, count = boxes.shape[:2]
        logits = self.roi_heads.mask_predictor(self.roi_heads.mask_head(self.mask_pooling(features, boxes)))
        index = labels.flatten().to(torch.int64)[:, None, None, None].expand(-1, 1, *logits.shape[-2:])
        masks = torch.sigmoid(torch.gather(logits, 1, index)).squeeze(1).unflatten(0, (batch, count))
        return torch.where(valid[..., None, None], masks, 0.0)
