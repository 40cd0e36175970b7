"""`BatchedNMS`: greedy non-maximum suppression within groups, for a batch of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from onnx import parser

from maskrt.contract.tensors import DOMAIN
from maskrt.export.ops import OPSET, PLUGIN_ATTRIBUTES

if TYPE_CHECKING:
    from torch import Tensor


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
    import torch
    from torchvision.ops import nms

    if torch.onnx.is_in_onnx_export():
        num, indices = torch.onnx.ops.symbolic_multi_out(
            f"{DOMAIN}::BatchedNMS",
            (boxes, scores, groups, iou_threshold, score_threshold),
            {"max_output": max_output, **PLUGIN_ATTRIBUTES},
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


def batched_nms_function() -> onnx.FunctionProto:
    """`BatchedNMS`: boxes above the score threshold, sorted; then NonMaxSuppression with a class channel per group.

    Image by image, because NonMaxSuppression takes one IoU threshold and each image has its own. What ScatterElements
    fills is made anew for each: OpenVINO writes into its first input, and would hand one image's boxes on to the next.
    """
    return parser.parse_function(
        f"""
        <opset_import: ["" : {OPSET}], domain: "{DOMAIN}">
        BatchedNMS <max_output, plugin_version, plugin_namespace>
        (boxes, scores, groups, iou_threshold, score_threshold) => (num, indices)
        {{
            zero = Constant <value_ints: ints = [0]> ()
            one = Constant <value_ints: ints = [1]> ()
            two = Constant <value_ints: ints = [2]> ()
            three = Constant <value_ints: ints = [3]> ()
            minus = Constant <value_ints: ints = [-1]> ()
            zero64 = Constant <value: tensor = int64 {{0}}> ()
            one64 = Constant <value: tensor = int64 {{1}}> ()
            k = Constant <value_int: int = @max_output> ()
            k1 = Unsqueeze (k, zero)
            nothing = Constant <value: tensor = float {{-3.4e38}}> ()

            above = Greater (scores, score_threshold)
            above_int = Cast <to: int = 7> (above)
            counts = ReduceSum <keepdims: int = 0> (above_int, one)
            most = ReduceMax <keepdims: int = 1> (counts, zero)
            m = Max (most, one)
            candidates = Where (above, scores, nothing)
            top_scores, top_index = TopK <axis: int = 1> (candidates, m)
            top_index_column = Unsqueeze (top_index, minus)
            top_boxes = GatherND <batch_dims: int = 1> (boxes, top_index_column)
            top_groups = GatherElements <axis: int = 1> (groups, top_index)

            zero_scalar = Constant <value: tensor = int32 {{0}}> ()
            one_scalar = Constant <value: tensor = int32 {{1}}> ()
            last_group = ReduceMax <keepdims: int = 0> (groups)
            num_groups = Add (last_group, one_scalar)
            group_range = Range (zero_scalar, num_groups, one_scalar)
            group_column = Unsqueeze (group_range, one)
            m_scalar = Squeeze (m, zero)
            ranks = Range (zero64, m_scalar, one64)
            priority = Sub (m, ranks)

            shape = Shape (top_scores)
            batch = Slice (shape, zero, one, zero)
            batch_scalar = Squeeze (batch, zero)
            true = Constant <value: tensor = bool {{1}}> ()
            kept = Loop (batch_scalar, true) <body: graph = of_an_image (int64 image, bool go_on)
                => (bool still, int64[m] image_kept) {{
                still = Identity (go_on)
                image_1 = Unsqueeze (image, zero)
                image_boxes = Gather (top_boxes, image_1)
                image_scores = Gather (top_scores, image_1)
                image_groups = Gather (top_groups, image_1)
                image_iou = Gather (iou_threshold, image)
                image_threshold = Gather (score_threshold, image)
                group_row = Unsqueeze (image_groups, one)
                member = Equal (group_row, group_column)
                score_row = Unsqueeze (image_scores, one)
                group_scores = Where (member, score_row, nothing)
                selected = NonMaxSuppression (image_boxes, group_scores, k1, image_iou, image_threshold)
                rank_column = Slice (selected, two, three, one)
                rank = Squeeze (rank_column, one)
                chosen = Gather (priority, rank)
                blank = Expand (zero, m)
                image_kept = ScatterElements (blank, rank, chosen)
            }}>

            padding_shape = Concat <axis: int = 0> (batch, k1)
            padding = Expand (zero, padding_shape)
            kept_padded = Concat <axis: int = 1> (kept, padding)
            index_padded = Concat <axis: int = 1> (top_index, padding)
            first, place = TopK <axis: int = 1> (kept_padded, k1)
            taken = Greater (first, zero)
            index = GatherElements <axis: int = 1> (index_padded, place)
            index_or_none = Where (taken, index, minus)
            indices = Cast <to: int = 6> (index_or_none)
            taken_int = Cast <to: int = 7> (taken)
            num64 = ReduceSum <keepdims: int = 0> (taken_int, one)
            num = Cast <to: int = 6> (num64)
        }}
        """
    )
