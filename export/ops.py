"""The two custom operators: torchvision's own operators in eager mode, one ONNX node each when exported."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import nms, roi_align

from maskrt.contract.tensors import DOMAIN

_PLUGIN_ATTRIBUTES = {"plugin_version": "1", "plugin_namespace": ""}
"""Without these TensorRT's parser would expand the function instead of taking the plugin."""


def multilevel_roi_align(
    rois: Tensor,
    features: Sequence[Tensor],
    output_height: int,
    output_width: int,
    sampling_ratio: int,
    aligned: bool,
    scales: Sequence[float],
    level_thresholds: Sequence[float],
) -> Tensor:
    """RoIAlign (He et al. 2017) on the pyramid level that each RoI's size asks for (Lin et al. 2017, eq. 1).

    Args:
        rois: `[B,R,4]` float32 xyxy in canvas pixels.
        features: per level `[B,C,H_l,W_l]`, the finest first.
        output_height, output_width: cells of the output.
        sampling_ratio: samples per cell and direction; 0 adapts it to the RoI's size.
        aligned: whether coordinates are shifted by half a pixel (torchvision's flag of this name).
        scales: per level, feature size / canvas size.
        level_thresholds: see `maskrt.export.rcnn.levels.level_thresholds`.

    Returns:
        `[B*R,C,output_height,output_width]` of the features' type.
    """
    batch, count = rois.shape[:2]
    if torch.onnx.is_in_onnx_export():
        several_levels = {"level_thresholds": list(level_thresholds)} if level_thresholds else {}
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::MultilevelRoIAlign",
            (rois, *features),
            {
                "output_height": output_height,
                "output_width": output_width,
                "sampling_ratio": sampling_ratio,
                "coordinate_transformation_mode": "half_pixel" if aligned else "output_half_pixel",
                "mode": "avg",
                "scales": list(scales),
                **several_levels,
                **_PLUGIN_ATTRIBUTES,
            },
            dtype=features[0].dtype,
            shape=(batch * count, features[0].shape[1], output_height, output_width),
            version=1,
        )
    boxes = rois.reshape(-1, 4)
    image = torch.arange(batch, device=rois.device).repeat_interleave(count).to(rois.dtype)
    size = torch.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    level = torch.zeros_like(size, dtype=torch.int64)
    for threshold in level_thresholds:
        level += size >= threshold
    output = features[0].new_zeros((batch * count, features[0].shape[1], output_height, output_width))
    for index, (feature, scale) in enumerate(zip(features, scales, strict=True)):
        chosen = torch.where(level == index)[0]
        pooled = roi_align(
            feature.float(),
            torch.cat([image[chosen, None], boxes[chosen]], dim=1),
            (output_height, output_width),
            spatial_scale=scale,
            sampling_ratio=sampling_ratio,
            aligned=aligned,
        )
        output[chosen] = pooled.to(output.dtype)
    return output


def batched_nms(
    boxes: Tensor,
    scores: Tensor,
    groups: Tensor,
    iou_threshold: Tensor,
    score_threshold: Tensor,
    max_output: int,
) -> tuple[Tensor, Tensor]:
    """Greedy non-maximum suppression within groups, for a batch of images.

    Args:
        boxes: `[B,N,4]` float32 xyxy.
        scores: `[B,N]` float32; only boxes with a score above `score_threshold` are candidates.
        groups: `[B,N]` int32; a box suppresses boxes of its own group only.
        iou_threshold, score_threshold: `[B,1]` float32, of each image.
        max_output: K, how many boxes are kept at the most.

    Returns:
        `num` `[B]` int32 and `indices` `[B,K]` int32 in the order of falling score (ties: the lower index first),
        padded with -1.
    """
    if torch.onnx.is_in_onnx_export():
        num, indices = torch.onnx.ops.symbolic_multi_out(
            f"{DOMAIN}::BatchedNMS",
            (boxes, scores, groups, iou_threshold, score_threshold),
            {"max_output": max_output, **_PLUGIN_ATTRIBUTES},
            dtypes=(torch.int32, torch.int32),
            shapes=((boxes.shape[0],), (boxes.shape[0], max_output)),
            version=1,
        )
        return num, indices
    indices = boxes.new_full((boxes.shape[0], max_output), -1, dtype=torch.int32)
    num = boxes.new_zeros(boxes.shape[0], dtype=torch.int32)
    for image in range(boxes.shape[0]):
        above = torch.where(scores[image] > score_threshold[image])[0]
        kept = torch.zeros_like(scores[image], dtype=torch.bool)
        for group in groups[image, above].unique():
            member = above[groups[image, above] == group]
            kept[member[nms(boxes[image, member], scores[image, member], float(iou_threshold[image]))]] = True
        survivors = torch.where(kept)[0]
        order = torch.sort(scores[image, survivors], descending=True, stable=True).indices[:max_output]
        num[image] = len(order)
        indices[image, : len(order)] = survivors[order].to(torch.int32)
    return num, indices
