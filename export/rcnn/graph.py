"""The inference of a two-stage detector with shapes that follow from the input's.

Frameworks loop over images and filter with boolean indices, so their shapes depend on the data. Here every image has a
fixed number of proposals and detections, and rows that do not exist are masked. The modules and their weights are the
source model's own; what lies between them is read off the spec.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from maskrt.export.rcnn.cascade import join_stages, refine_boxes
from maskrt.export.rcnn.detections import detect, detection_attributes
from maskrt.export.rcnn.keypoints import locate_keypoints
from maskrt.export.rcnn.masks import mask_probabilities
from maskrt.export.rcnn.modules import RcnnModules
from maskrt.export.rcnn.pooling import GraphPooling
from maskrt.export.rcnn.proposals import proposal_attributes, propose
from maskrt.export.rcnn.spec import ModelSpec


class InferenceGraph(nn.Module):
    """The whole inference as one module; inputs and outputs are those of `maskrt.contract.tensors`.

    `forward` takes `images` `[B, H, W, 3]` RGB 0–255 (uint8 or float32; H and W multiples of the spec's divisor; valid
    part at the top left), `image_sizes` `[B, 2]` int32 (valid height, width), `score_threshold` and `nms_threshold`
    `[B, 1]` float32. It returns `num_detections` `[B]` int32, `boxes` `[B, K, 4]` float32 xyxy in canvas pixels,
    `scores` `[B, K]` float32, `labels` `[B, K]` int32; with a mask head `masks` `[B, K, M, M]` float32 probabilities
    of the detected class, with a keypoint head `keypoints` `[B, K, N, 3]` float32 x, y in canvas pixels and score.
    Rows past `num_detections` are zero.

    Attributes:
        pooled_levels: how many feature maps each RoIAlign reads.
        maxima: whether one of them takes maxima.
        proposal_attributes: of the region proposal network.
        detection_attributes: of the last box head.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: ModelSpec, modules: RcnnModules, model: nn.Module) -> None:
        """`modules` are parts of `model`, whose names for them are those of the weights in the file."""
        super().__init__()
        self._spec, self._parts = spec, modules
        for name, child in model.named_children():
            self.add_module(name, child)
        self.register_buffer("mean", torch.tensor(spec.normalization.mean, dtype=torch.float32)[:, None, None])
        self.register_buffer("std", torch.tensor(spec.normalization.std, dtype=torch.float32)[:, None, None])
        self.proposal_attributes = proposal_attributes(spec.rpn)
        self.detection_attributes = detection_attributes(spec.detection, spec.stage_mean, spec.box_heads)
        heads = (*spec.box_heads, spec.mask_head, spec.keypoint_head)
        poolings = [None if head is None else GraphPooling.of(head.pooling) for head in heads]
        self.pooled_levels = max(len(pooling.features) for pooling in poolings if pooling is not None)
        self.maxima = any(pooling.mode == "max" for pooling in poolings if pooling is not None)
        *self._box_poolings, self._mask_pooling, self._keypoint_pooling = (
            None if pooling is None else pooling.padded(self.pooled_levels, sampled=self.maxima) for pooling in poolings
        )

    def forward(
        self, images: Tensor, image_sizes: Tensor, score_threshold: Tensor, nms_threshold: Tensor
    ) -> tuple[Tensor, ...]:
        """Run it; see the class."""
        spec, parts = self._spec, self._parts
        canvas = self._normalize(images, image_sizes)
        features = parts.backbone(canvas)
        sizes = image_sizes.to(torch.float32)
        limits = torch.stack((sizes[:, 1], sizes[:, 0], sizes[:, 1], sizes[:, 0]), dim=1)[:, None, :]
        logits, deltas = parts.rpn_head([features[name] for name in spec.rpn.features])
        proposals, num_proposals = propose(self.proposal_attributes, images, image_sizes, logits, deltas)
        stages: list[Tensor] = []
        last = len(spec.box_heads) - 1
        for stage, (head, module) in enumerate(zip(spec.box_heads, parts.box_heads, strict=True)):
            logits, deltas = module(self._pool(self._box_poolings[stage], features, proposals))
            stages.append(logits)
            if stage < last:
                proposals = refine_boxes(spec.detection, head, logits, deltas, proposals, limits)
        logits = join_stages(spec.detection, spec.stage_mean, stages)
        thresholds = score_threshold, nms_threshold
        detected = detect(self.detection_attributes, logits, deltas, proposals, num_proposals, image_sizes, *thresholds)
        outputs = [*detected[:4]]
        if spec.mask_head is not None:
            pooled = self._pool(self._mask_pooling, features, detected.boxes)
            logits = [module(pooled) for module in parts.mask_heads]
            outputs.append(mask_probabilities(spec.detection, spec.mask_head, logits, detected))
        if spec.keypoint_head is not None and parts.keypoint_head is not None:
            heatmaps = parts.keypoint_head(self._pool(self._keypoint_pooling, features, detected.boxes))
            outputs.append(locate_keypoints(spec.keypoint_head, heatmaps, detected))
        return tuple(outputs)

    @staticmethod
    def _pool(pooling: GraphPooling | None, features: Mapping[str, Tensor], boxes: Tensor) -> Tensor:
        assert pooling is not None  # the spec has this head
        return pooling(features, boxes)

    def _normalize(self, images: Tensor, image_sizes: Tensor) -> Tensor:
        """Grey levels to what the backbone takes, and zeros outside of each image: frameworks pad after it."""
        x = images.to(torch.float32).permute(0, 3, 1, 2)
        if self._spec.normalization.colors == "BGR":
            x = x.index_select(1, torch.tensor([2, 1, 0], device=x.device))
        if self._spec.normalization.divisor != 1:
            x = x / self._spec.normalization.divisor
        x = (x - self.mean) / self.std
        rows = torch.arange(images.shape[1], device=images.device)[None, :] < image_sizes[:, :1]
        columns = torch.arange(images.shape[2], device=images.device)[None, :] < image_sizes[:, 1:]
        inside = rows[:, None, :, None] & columns[:, None, None, :]
        return torch.where(inside, x, torch.zeros((), dtype=x.dtype))
