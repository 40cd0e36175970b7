"""`BatchedNMS`: greedy non-maximum suppression within groups, for a batch of images.

A part of other operators (`GenerateProposals`, `DetectionOutput`): no graph has a node of it, so it has no plugin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from onnx import parser

from maskrt.contract.tensors import DOMAIN
from maskrt.export.ops import OPSET

if TYPE_CHECKING:
    from torch import Tensor


SUPPRESSION = """
            sorted_keys, order = TopK <axis: int = 0, largest: int = 0> (keys, count)
            sorted_places = Gather (places, order)
            sorted_images = Gather (image_column, order)
            sorted_boxes = Gather (candidate_boxes, order)
            sorted_scores = Gather (candidate_scores, order)

            count_less_one = Sub (count, one)
            keys_before = Slice (sorted_keys, zero, count_less_one, zero)
            keys_after = Slice (sorted_keys, one, count, zero)
            same = Equal (keys_before, keys_after)
            changes = Not (same)
            change_row = NonZero (changes)
            change = Squeeze (change_row, zero)
            later_starts = Add (change, one)
            starts = Concat <axis: int = 0> (zero, later_starts)
            ends = Concat <axis: int = 0> (later_starts, count)
            runs = Shape (starts)
            run_count = Squeeze (runs, zero)

            no_rank = ConstantOfShape <value: tensor = int64[1] {-1}> (k1)
            true = Constant <value: tensor = bool {1}> ()
            kept = Loop (run_count, true) <body: graph = of_a_group (int64 run, bool go_on)
                => (bool still, int64[m] kept_of_group) {
                still = Identity (go_on)
                run1 = Unsqueeze (run, zero)
                start = Gather (starts, run1)
                end = Gather (ends, run1)
                run_boxes = Slice (sorted_boxes, start, end, zero)
                boxes_of_group = Unsqueeze (run_boxes, zero)
                run_scores = Slice (sorted_scores, start, end, zero)
                scores_of_group = Unsqueeze (run_scores, zero_one)
                run_images = Slice (sorted_images, start, end, zero)
                images_or_first = Concat <axis: int = 0> (run_images, zero)
                image_of_group = Slice (images_or_first, zero, one, zero)
                iou_of_group = Gather (iou_threshold, image_of_group)
                iou1 = Reshape (iou_of_group, one)
                selected = NonMaxSuppression (boxes_of_group, scores_of_group, k1, iou1)
                rank_column = Slice (selected, two, three, one)
                rank = Squeeze (rank_column, one)
                found = Add (rank, start)
                padded = Concat <axis: int = 0> (found, no_rank)
                kept_of_group = Slice (padded, zero, k1, zero)
            }>

            all_kept = Reshape (kept, minus)
            exists = GreaterOrEqual (all_kept, zero)
            kept_positions = Compress <axis: int = 0> (all_kept, exists)
            kept_places = Gather (sorted_places, kept_positions)
            kept_scores = Gather (sorted_scores, kept_positions)
            slots_and_k = Add (slots, k1)
            padded_shape = Concat <axis: int = 0> (batch, slots_and_k)
            blank = Expand (nothing, padded_shape)
            all_scores = ScatterND (blank, kept_places, kept_scores)
            best, index = TopK <axis: int = 1> (all_scores, k1)
            taken = Greater (best, nothing)
            index_or_none = Where (taken, index, minus)
            taken_int = Cast <to: int = 7> (taken)
            num64 = ReduceSum <keepdims: int = 0> (taken_int, one)
            num = Cast <to: int = 6> (num64)
""".strip()
"""Statements of a function: from candidates to those that are kept, the best first.

They read, of M candidates, `candidate_boxes` `[M, 4]`, `candidate_scores` `[M]`, `places` `[M, 2]` (the image, and a
number below `slots` by which ties are decided), `image_column` `[M]` (the image again) and `keys` `[M]`, a number for
each group of each image; also `count`, `batch`, `slots` and `k1`, `[1]` each, `iou_threshold` `[B, 1]`, and constants.
They make `num` `[B]` int32, `taken` `[B, K]` bool, and `index_or_none` `[B, K]`, numbers of those that are kept, or -1.
A group has one image, so one IoU threshold; without any candidate there is one empty group.
"""


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
    """`BatchedNMS`: boxes above the score threshold, sorted by image and group; then NonMaxSuppression group by group.

    Memory is linear in the boxes, whatever the number of groups: NonMaxSuppression could take all groups at once, as
    class channels, but would need a score for each pair of group and box.
    """
    return parser.parse_function(
        f"""
        <opset_import: ["" : {OPSET}], domain: "{DOMAIN}">
        BatchedNMS <max_output>
        (boxes, scores, groups, iou_threshold, score_threshold) => (num, indices)
        {{
            zero = Constant <value_ints: ints = [0]> ()
            one = Constant <value_ints: ints = [1]> ()
            two = Constant <value_ints: ints = [2]> ()
            three = Constant <value_ints: ints = [3]> ()
            minus = Constant <value_ints: ints = [-1]> ()
            zero_one = Constant <value_ints: ints = [0, 1]> ()
            k = Constant <value_int: int = @max_output> ()
            k1 = Unsqueeze (k, zero)
            nothing = Constant <value: tensor = float {{-3.4e38}}> ()

            above = Greater (scores, score_threshold)
            place_rows = NonZero (above)
            places = Transpose <perm: ints = [1, 0]> (place_rows)
            count = Shape <start: int = 0, end: int = 1> (places)
            images = Slice (places, zero, one, one)
            unsorted_groups = GatherND (groups, places)
            groups64 = Cast <to: int = 7> (unsorted_groups)
            image_column = Squeeze (images, one)
            first_group = ReduceMin <keepdims: int = 0> (groups)
            last_group = ReduceMax <keepdims: int = 0> (groups)
            range = Sub (last_group, first_group)
            range64 = Cast <to: int = 7> (range)
            groups_per_image = Add (range64, one)
            image_keys = Mul (image_column, groups_per_image)
            keys = Add (image_keys, groups64)
            candidate_boxes = GatherND (boxes, places)
            candidate_scores = GatherND (scores, places)
            shape = Shape (scores)
            batch = Slice (shape, zero, one, zero)
            slots = Slice (shape, one, two, zero)
            {SUPPRESSION}
            indices = Cast <to: int = 6> (index_or_none)
        }}
        """
    )
