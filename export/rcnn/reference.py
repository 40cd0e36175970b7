"""The spec in plain eager PyTorch: image by image, with shapes that depend on the data, as the frameworks compute.

It shares nothing with the export graph but the spec, so that a mistake in one shows in the other.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms, clip_boxes_to_image, roi_align

from maskrt.export.rcnn.heatmaps import find_peaks
from maskrt.export.rcnn.levels import choose_level
from maskrt.export.rcnn.modules import RcnnModules
from maskrt.export.rcnn.pictures import paste_mask, resize_picture
from maskrt.export.rcnn.spec import Anchors, BoxCoder, BoxHead, DetectionRule, MinSide, ModelSpec, RoIPooling
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


class RcnnReference(Reference):
    """A two-stage detector by its spec; see `maskrt.export.reference.Reference`.

    Args:
        model: in evaluation mode; left as it is.
        spec: of it.
        modules: names the layers of the model, or of a copy of it.
        device, compiled: see `maskrt.export.families.base.Family.reference`.
    """

    def __init__(
        self,
        model: nn.Module,
        spec: ModelSpec,
        modules: Callable[[nn.Module], RcnnModules],
        device: torch.device,
        *,
        compiled: bool,
    ) -> None:
        super().__init__(spec, device)
        if compiled or device.type != "cpu":
            model = copy.deepcopy(model).to(device).eval()  # copies of torch.fx graphs are in training mode
        self._model, self._modules, self._compiled = model, modules(model), compiled
        if compiled:
            for part in self._modules.all():
                part.compile()

    @torch.inference_mode()
    def preprocess(self, pictures: Sequence[np.ndarray]) -> Canvas:
        """See `Reference.preprocess`."""
        resized = [resize_picture(self.spec.pipeline.resize, picture).to(self.device) for picture in pictures]
        return self._canvas(resized, [(picture.shape[0], picture.shape[1]) for picture in pictures])

    @torch.inference_mode()
    def infer(self, canvas: Canvas, thresholds: Thresholds = OWN_THRESHOLDS) -> list[CanvasDetections]:
        """See `Reference.infer`."""
        return self._infer(canvas, thresholds, None)

    @torch.inference_mode()
    def postprocess(self, detections: Sequence[CanvasDetections], canvas: Canvas) -> list[PictureDetections]:
        """See `Reference.postprocess`."""
        results = []
        for found, (h, w), (height, width) in zip(detections, canvas.image_sizes, canvas.picture_sizes, strict=True):
            ratios = found.boxes.new_tensor([width / w, height / h, 1])
            boxes = found.boxes * ratios[[0, 1, 0, 1]]
            if self.spec.pipeline.boxes.clip:
                boxes = clip_boxes_to_image(boxes, (height, width))
            kept = torch.ones_like(found.labels, dtype=torch.bool)
            if self.spec.pipeline.boxes.drop_empty:
                kept = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
            masks = None
            if found.mask_probabilities is not None:
                masks = self._paste(found.mask_probabilities[kept], boxes[kept], (height, width))
            keypoints = None if found.keypoints is None else found.keypoints[kept] * ratios
            results.append(PictureDetections(boxes[kept], found.scores[kept], found.labels[kept], masks, keypoints))
        return results

    @torch.inference_mode()
    def paste(self, probabilities: Tensor, boxes: Tensor, picture_size: tuple[int, int]) -> Iterator[np.ndarray]:
        """See `Reference.paste`."""
        for mask, box in zip(probabilities, boxes, strict=True):
            yield paste_mask(self.spec.pipeline.paste, mask, box, picture_size).cpu().numpy()

    @torch.inference_mode()
    def trace(self, levels: np.ndarray, image_size: tuple[int, int], modules: Collection[str]) -> Trace:
        """See `Reference.trace`."""
        canvas = self.on_canvas(levels, image_size)
        poolings: list[PooledRois] = []
        with ModuleRecorder(self._model, modules) as recorder:
            self._infer(canvas, OWN_THRESHOLDS, poolings)
        return Trace(poolings, recorder.outputs())

    @torch.inference_mode()
    def on_canvas(self, levels: np.ndarray, image_size: tuple[int, int]) -> Canvas:
        """Normalise a picture that lies on a canvas already; the arguments are those of `trace`."""
        height, width = image_size
        image = torch.from_numpy(levels[0, :height, :width]).to(self.device).permute(2, 0, 1).float()
        return self._canvas([image], [image_size], size=(levels.shape[1], levels.shape[2]))

    def _canvas(
        self,
        images: Sequence[Tensor],
        picture_sizes: Sequence[tuple[int, int]],
        size: tuple[int, int] | None = None,
    ) -> Canvas:
        """Normalise and pad grey levels `[3, h, w]` RGB; `size` None: as the pipeline pads."""
        normalization, divisor = self.spec.normalization, self.spec.pipeline.size_divisor
        sizes = [(image.shape[1], image.shape[2]) for image in images]
        if size is None:
            height, width = (-(-max(sides) // divisor) * divisor for sides in zip(*sizes, strict=True))
            size = height, width
        tensors = torch.zeros(len(images), 3, *size, device=self.device)
        mean, std = (images[0].new_tensor(values)[:, None, None] for values in (normalization.mean, normalization.std))
        for tensor, image, (h, w) in zip(tensors, images, sizes, strict=True):
            channels = image.flip(0) if normalization.colors == "BGR" else image
            tensor[:, :h, :w] = (channels / normalization.divisor - mean) / std
        return Canvas(tensors, sizes, picture_sizes)

    def _infer(
        self, canvas: Canvas, thresholds: Thresholds, poolings: list[PooledRois] | None
    ) -> list[CanvasDetections]:
        """`poolings` takes what the RoIAligns do."""
        with torch.autocast(self.device.type, torch.float16, enabled=self._compiled):
            features = self._modules.backbone(canvas.tensors)
            results = []
            for number, size in enumerate(canvas.image_sizes):
                of_image = {name: feature[number : number + 1] for name, feature in features.items()}
                proposals = self._propose(of_image, size, canvas.tensors.shape[2:])
                results.append(self._detect(of_image, proposals, size, thresholds, poolings))
        return results

    def _propose(self, features: Mapping[str, Tensor], size: tuple[int, int], canvas: Sequence[int]) -> Tensor:
        """Proposals `[R, 4]`, best first."""
        rpn = self.spec.rpn
        all_logits, all_deltas = self._modules.rpn_head([features[name] for name in rpn.features])
        boxes, scores, levels = [], [], []
        for level, (logits, deltas, anchors) in enumerate(zip(all_logits, all_deltas, rpn.anchors, strict=True)):
            per_anchor = logits[0].permute(1, 2, 0).reshape(-1).float()
            ranked = per_anchor.sigmoid() if rpn.top_k_by == "probability" else per_anchor
            best = ranked.topk(min(rpn.pre_nms_top_k, len(ranked))).indices
            moves = deltas[0].permute(1, 2, 0).reshape(-1, 4).float()
            places = _lay_out(anchors, (logits.shape[2], logits.shape[3]), canvas).to(moves.device)
            boxes.append(_decode(rpn.coder, moves[best], places[best]))
            scores.append(per_anchor[best])
            levels.append(torch.full_like(best, level))
        box, logit, level_of = torch.cat(boxes), torch.cat(scores), torch.cat(levels)
        box = clip_boxes_to_image(box, size)
        kept = torch.ones_like(logit, dtype=torch.bool)
        if rpn.min_side is not None:
            kept &= _has_sides(box, rpn.min_side)
        if rpn.min_probability is not None:
            kept &= logit.sigmoid() >= rpn.min_probability
        if rpn.finite_logits:
            kept &= logit.isfinite()
        box, logit, level_of = box[kept], logit[kept], level_of[kept]
        deciding = logit.sigmoid() if rpn.nms_by == "probability" else logit
        return box[batched_nms(box, deciding, level_of, rpn.nms_threshold)[: rpn.post_nms_top_k]]

    def _detect(
        self,
        features: Mapping[str, Tensor],
        proposals: Tensor,
        size: tuple[int, int],
        thresholds: Thresholds,
        poolings: list[PooledRois] | None,
    ) -> CanvasDetections:
        rule, stages = self.spec.detection, list[Tensor]()
        last = len(self.spec.box_heads) - 1
        for stage, (head, module) in enumerate(zip(self.spec.box_heads, self._modules.box_heads, strict=True)):
            said = module(_pool(head.pooling, features, proposals, poolings))
            logits, deltas = (value.float() for value in said)
            stages.append(logits)
            if stage < last:
                moved = _decode(head.coder, _of_best_class(rule, head, logits, deltas), proposals)
                proposals = clip_boxes_to_image(moved, size)
        scores = self._scores(stages)
        columns = range(1, rule.num_labels) if rule.background == "first" else range(rule.num_labels - 1)
        found = []
        for label, column in enumerate(columns, start=1):
            own = 0 if head.class_agnostic else 4 * column
            boxes = clip_boxes_to_image(_decode(head.coder, deltas[:, own : own + 4], proposals), size)
            kept = scores[:, column] > (rule.score_threshold if thresholds.score is None else thresholds.score)
            if rule.min_side is not None:
                kept &= _has_sides(boxes, rule.min_side)
            found.append((boxes[kept], scores[kept, column], torch.full_like(kept.nonzero()[:, 0], label)))
        boxes, score, labels = (torch.cat(values) for values in zip(*found, strict=True))
        nms_threshold = rule.nms_threshold if thresholds.nms is None else thresholds.nms
        best = batched_nms(boxes, score, labels, nms_threshold)[: rule.max_detections]
        boxes, score, labels = boxes[best], score[best], labels[best]
        masks = self._segment(features, boxes, labels, poolings)
        return CanvasDetections(boxes, score, labels, masks, self._locate(features, boxes, poolings))

    def _scores(self, stages: Sequence[Tensor]) -> Tensor:
        """Scores `[R, L]` of the logits of each stage."""
        activate = torch.sigmoid if self.spec.detection.activation == "sigmoid" else partial(torch.softmax, dim=-1)
        if self.spec.stage_mean == "logits":
            return activate(torch.stack(tuple(stages)).mean(dim=0))
        return torch.stack([activate(logits) for logits in stages]).mean(dim=0)

    def _segment(
        self, features: Mapping[str, Tensor], boxes: Tensor, labels: Tensor, poolings: list[PooledRois] | None
    ) -> Tensor | None:
        head = self.spec.mask_head
        if head is None:
            return None
        pooled = _pool(head.pooling, features, boxes, poolings)
        masks = torch.stack([module(pooled).float().sigmoid() for module in self._modules.mask_heads]).mean(dim=0)
        channels = labels if self.spec.detection.background == "first" else labels - 1
        if head.class_agnostic:
            channels = torch.zeros_like(labels)
        return masks[torch.arange(len(labels), device=labels.device), channels]

    def _locate(
        self, features: Mapping[str, Tensor], boxes: Tensor, poolings: list[PooledRois] | None
    ) -> Tensor | None:
        head, module = self.spec.keypoint_head, self._modules.keypoint_head
        if head is None or module is None:
            return None
        return find_peaks(head, module(_pool(head.pooling, features, boxes, poolings)).float(), boxes)

    def _paste(self, probabilities: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
        masks = torch.zeros(len(boxes), *size, dtype=torch.bool, device=boxes.device)
        for pasted, mask, box in zip(masks, probabilities, boxes, strict=True):
            pasted.copy_(paste_mask(self.spec.pipeline.paste, mask, box, size))
        return masks


def _lay_out(anchors: Anchors, size: tuple[int, int], canvas: Sequence[int]) -> Tensor:
    """Every anchor of a feature map, `[H*W*A, 4]`, in the order row, column, cell."""
    rows, columns = (
        torch.arange(cells) * (anchors.stride or side // cells) + anchors.offset
        for cells, side in zip(size, canvas, strict=True)
    )
    y, x = torch.meshgrid(rows.float(), columns.float(), indexing="ij")
    return (torch.stack((x, y, x, y), dim=-1)[:, :, None] + torch.tensor(anchors.cells)).reshape(-1, 4)


def _decode(coder: BoxCoder, deltas: Tensor, boxes: Tensor) -> Tensor:
    """`[N, 4]` both."""
    weights = deltas.new_tensor(coder.weights)
    moves = deltas / weights if coder.operation == "divide" else deltas * weights
    growth = moves[:, 2:].clamp(max=coder.max_log_scale)
    if coder.min_log_scale is not None:
        growth = growth.clamp(min=coder.min_log_scale)
    sides = boxes[:, 2:] - boxes[:, :2]
    centers = moves[:, :2] * sides + (boxes[:, :2] + 0.5 * sides)
    halves = 0.5 * (growth.exp() * sides)
    return torch.cat((centers - halves, centers + halves), dim=1)


def _of_best_class(rule: DetectionRule, head: BoxHead, logits: Tensor, deltas: Tensor) -> Tensor:
    """Deltas `[R, 4]` of what a stage says of each RoI: those of its likeliest class, where each has its own."""
    if head.class_agnostic:
        return deltas
    objects = logits[:, 1:] if rule.background == "first" else logits[:, :-1]
    best = objects.argmax(dim=1) + (rule.background == "first")
    return deltas.reshape(len(deltas), -1, 4)[torch.arange(len(deltas), device=deltas.device), best]


def _has_sides(boxes: Tensor, rule: MinSide) -> Tensor:
    sides = boxes[:, 2:] - boxes[:, :2]
    return (sides >= rule.pixels if rule.inclusive else sides > rule.pixels).all(dim=1)


def _pool(
    pooling: RoIPooling, features: Mapping[str, Tensor], rois: Tensor, poolings: list[PooledRois] | None
) -> Tensor:
    """RoIs `[R, 4]` of one image → `[R, C, P, P]`, which are also appended to `poolings`, if any."""
    chosen = [features[name].float() for name in pooling.features]
    level = torch.zeros(len(rois), dtype=torch.int64, device=rois.device)
    if pooling.level_rule is not None:
        sizes = ((rois[:, 2] - rois[:, 0]) * (rois[:, 3] - rois[:, 1])).sqrt()
        level = choose_level(pooling.level_rule, sizes, len(chosen))
    pooled = rois.new_zeros(len(rois), chosen[0].shape[1], *pooling.output_size)
    for number, (feature, stride) in enumerate(zip(chosen, pooling.strides, strict=True)):
        here = level == number
        pooled[here] = _align(feature, rois[here], 1 / stride, pooling)
    if poolings is not None:
        poolings.append(PooledRois(rois.cpu().numpy(), pooled.cpu().numpy()))
    return pooled


def _align(feature: Tensor, rois: Tensor, scale: float, pooling: RoIPooling) -> Tensor:
    if pooling.mode == "avg":
        return roi_align(feature, [rois], pooling.output_size, scale, pooling.sampling_ratio, pooling.aligned)
    height, width = (side * pooling.sampling_ratio for side in pooling.output_size)
    samples = roi_align(feature, [rois], (height, width), scale, 1, pooling.aligned)
    return samples.unflatten(3, (-1, pooling.sampling_ratio)).unflatten(2, (-1, pooling.sampling_ratio)).amax((3, 5))
