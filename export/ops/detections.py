"""`DetectionOutput`: what a box head says of proposals becomes detections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from onnx import parser

from maskrt.contract.tensors import DOMAIN
from maskrt.export.ops import OPSET, PLUGIN_ATTRIBUTES
from maskrt.export.ops.nms import SUPPRESSION, batched_nms
from maskrt.plugins.detection_attributes import DetectionAttributes

if TYPE_CHECKING:
    from torch import Tensor


def detection_output(
    logits: Tensor,
    deltas: Tensor,
    proposals: Tensor,
    num_proposals: Tensor,
    image_sizes: Tensor,
    score_threshold: Tensor,
    nms_threshold: Tensor,
    attributes: DetectionAttributes,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Turn what a box head says of proposals into detections (Girshick 2015).

    Where a class's score is above the threshold, the proposal is moved by its deltas (Girshick et al. 2014, appendix
    C; the order of operations is that of torchvision's `BoxCoder.decode_single`), clipped and filtered; then boxes
    suppress those of their class with a lower score, and the best of all classes remain. Ties: the earlier proposal,
    then the lower class. NaN scores and boxes with a NaN coordinate make no detections.

    Args:
        logits: `[B*R, L]`, L labels.
        deltas: `[B*R, 4]`, `[B*R, 4L]` or `[B*R, 4(L-1)]`, as the attributes say.
        proposals: `[B, R, 4]` float32 xyxy in canvas pixels.
        num_proposals: `[B]` int32; rows behind so many do not exist.
        image_sizes: `[B, 2]` int32, height and width that boxes are clipped to.
        score_threshold, nms_threshold: `[B, 1]` float32.
        attributes: of the node.

    Returns:
        `num` `[B]` int32, `boxes` `[B, K, 4]` float32 xyxy in canvas pixels, `scores` `[B, K]` float32 and `labels`
        `[B, K]` int32 from 1 on, the best first; zero from `num` on.
    """
    import torch

    batch, count, most = *proposals.shape[:2], attributes.max_detections
    if torch.onnx.is_in_onnx_export():
        num, boxes, best, labels = torch.onnx.ops.symbolic_multi_out(
            f"{DOMAIN}::DetectionOutput",
            (logits, deltas, proposals, num_proposals, image_sizes, score_threshold, nms_threshold),
            {**attributes.to_node(), **PLUGIN_ATTRIBUTES},
            dtypes=(torch.int32, torch.float32, torch.float32, torch.int32),
            shapes=((batch,), (batch, most, 4), (batch, most), (batch, most)),
            version=1,
        )
        return num, boxes, best, labels
    first = attributes.background == "first"
    scores = _scores(attributes, logits.float())[:, slice(1, None) if first else slice(0, -1)]
    classes = scores.shape[1]
    moves = deltas.float().unflatten(1, (-1, 4)).unflatten(0, (batch, count))
    if moves.shape[2] > classes:
        moves = moves[:, :, 1:]
    box = _decode(attributes, moves, proposals[:, :, None]).expand(-1, -1, classes, -1).flatten(1, 2)
    height, width = image_sizes.float()[:, :1], image_sizes.float()[:, 1:]
    limits = torch.stack((width, height, width, height), dim=-1)
    box = torch.minimum(box.clamp(min=0), limits)
    sides = box[..., 2:] - box[..., :2]
    long_enough = sides >= attributes.min_side if attributes.min_side_inclusive else sides > attributes.min_side
    rows = torch.arange(count, device=box.device) < num_proposals[:, None]
    exists = long_enough.all(dim=-1) & rows[..., None].expand(-1, -1, classes).flatten(1)
    score = torch.where(exists, scores.reshape(batch, -1), torch.nan)  # above no threshold
    label = torch.arange(1, classes + 1, dtype=torch.int32, device=box.device).repeat(batch, count)
    num, kept = batched_nms(box, score, label, nms_threshold, score_threshold, most)
    taken, index = kept >= 0, kept.clamp(min=0).long()
    boxes = torch.gather(box, 1, index[..., None].expand(-1, -1, 4))
    return (
        num,
        torch.where(taken[..., None], boxes, 0.0),
        torch.where(taken, torch.gather(score, 1, index), 0.0),
        torch.where(taken, torch.gather(label, 1, index), 0),
    )


def _scores(attributes: DetectionAttributes, logits: Tensor) -> Tensor:
    import torch

    if attributes.activation == "none":
        return logits
    return torch.softmax(logits, dim=-1) if attributes.activation == "softmax" else torch.sigmoid(logits)


def _decode(attributes: DetectionAttributes, deltas: Tensor, boxes: Tensor) -> Tensor:
    """Move boxes by deltas; both `[..., 4]`, and they broadcast."""
    import torch

    weights = deltas.new_tensor(attributes.weights)
    moves = deltas / weights if attributes.weights_operation == "divide" else deltas * weights
    growth = moves[..., 2:].clamp(attributes.min_log_scale, attributes.max_log_scale)
    sides = boxes[..., 2:] - boxes[..., :2]
    centers = moves[..., :2] * sides + (boxes[..., :2] + 0.5 * sides)
    halves = 0.5 * (torch.exp(growth) * sides)
    return torch.cat((centers - halves, centers + halves), dim=-1)


def detection_output_function(attributes: DetectionAttributes) -> onnx.FunctionProto:
    """`DetectionOutput` for these attributes, whose numbers the function takes from the node.

    Only what is above the threshold is decoded; the rest is never more than a score.
    """
    scores = {"softmax": "Softmax (wide_logits)", "sigmoid": "Sigmoid (wide_logits)", "none": "Identity (wide_logits)"}
    objects = "one, all, one" if attributes.background == "first" else "zero, minus, one"
    weigh = "Div" if attributes.weights_operation == "divide" else "Mul"
    long_enough = "GreaterOrEqual" if attributes.min_side_inclusive else "Greater"
    if attributes.class_agnostic:
        delta_place = "Mul (above_places, without_class)"
    else:
        delta_place = f"Add (above_places, {'next_class' if attributes.background == 'first' else 'same_class'})"
    return parser.parse_function(
        f"""
        <opset_import: ["" : {OPSET}], domain: "{DOMAIN}">
        DetectionOutput <{", ".join(attributes.to_node())}, plugin_version, plugin_namespace>
        (logits, deltas, proposals, num_proposals, image_sizes, score_threshold, iou_threshold)
            => (num, boxes, scores, labels)
        {{
            zero = Constant <value_ints: ints = [0]> ()
            one = Constant <value_ints: ints = [1]> ()
            two = Constant <value_ints: ints = [2]> ()
            three = Constant <value_ints: ints = [3]> ()
            four = Constant <value_ints: ints = [4]> ()
            minus = Constant <value_ints: ints = [-1]> ()
            all = Constant <value_ints: ints = [9223372036854775807]> ()
            zero_one = Constant <value_ints: ints = [0, 1]> ()
            zero64 = Constant <value: tensor = int64 {{0}}> ()
            one64 = Constant <value: tensor = int64 {{1}}> ()
            without_class = Constant <value: tensor = int64[1, 3] {{1, 1, 0}}> ()
            same_class = Constant <value: tensor = int64[1, 3] {{0, 0, 0}}> ()
            next_class = Constant <value: tensor = int64[1, 3] {{0, 0, 1}}> ()
            width_height = Constant <value_ints: ints = [1, 0, 1, 0]> ()
            half = Constant <value: tensor = float {{0.5}}> ()
            none = Constant <value: tensor = float {{0.0}}> ()
            no_box = Constant <value: tensor = float[1, 4] {{0, 0, 0, 0}}> ()
            no_score = Constant <value: tensor = float[1] {{0}}> ()
            no_label = Constant <value: tensor = int64[1] {{0}}> ()
            nothing = Constant <value: tensor = float {{-3.4e38}}> ()
            k = Constant <value_int: int = @max_detections> ()
            k1 = Unsqueeze (k, zero)

            wide_logits = Cast <to: int = 1> (logits)
            label_scores = {scores[attributes.activation]}
            class_scores = Slice (label_scores, {objects})
            batch_and_rows = Shape <start: int = 0, end: int = 2> (proposals)
            batch = Slice (batch_and_rows, zero, one, zero)
            rows = Slice (batch_and_rows, one, two, zero)
            by_image = Concat <axis: int = 0> (batch_and_rows, minus)
            score_cube = Reshape (class_scores, by_image)
            threshold_cube = Unsqueeze (score_threshold, minus)
            is_above = Greater (score_cube, threshold_cube)
            row_count = Squeeze (rows, zero)
            row_numbers = Range (zero64, row_count, one64)
            num64s = Cast <to: int = 7> (num_proposals)
            num_column = Unsqueeze (num64s, one)
            is_row = Less (row_numbers, num_column)
            is_row_cube = Unsqueeze (is_row, minus)
            is_candidate = And (is_above, is_row_cube)
            above_rows = NonZero (is_candidate)
            above_places = Transpose <perm: ints = [1, 0]> (above_rows)
            above_scores = GatherND (score_cube, above_places)
            above_image = Slice (above_places, zero, one, one)
            above_roi = Slice (above_places, zero, two, one)
            roi = GatherND (proposals, above_roi)
            by_label = Concat <axis: int = 0> (batch_and_rows, minus, four)
            delta_cube = Reshape (deltas, by_label)
            delta_place = {delta_place}
            narrow_move = GatherND (delta_cube, delta_place)
            move = Cast <to: int = 1> (narrow_move)

            weights = Constant <value_floats: floats = @weights> ()
            weighted = {weigh} (move, weights)
            shift = Slice (weighted, zero, two, one)
            unlimited = Slice (weighted, two, four, one)
            min_log_scale = Constant <value_float: float = @min_log_scale> ()
            max_log_scale = Constant <value_float: float = @max_log_scale> ()
            growth = Clip (unlimited, min_log_scale, max_log_scale)
            roi_start = Slice (roi, zero, two, one)
            roi_end = Slice (roi, two, four, one)
            roi_side = Sub (roi_end, roi_start)
            half_side = Mul (half, roi_side)
            roi_center = Add (roi_start, half_side)
            moved = Mul (shift, roi_side)
            center = Add (moved, roi_center)
            factor = Exp (growth)
            new_side = Mul (factor, roi_side)
            half_new_side = Mul (half, new_side)
            new_start = Sub (center, half_new_side)
            new_end = Add (center, half_new_side)
            decoded = Concat <axis: int = 1> (new_start, new_end)
            float_sizes = Cast <to: int = 1> (image_sizes)
            limit_rows = Gather <axis: int = 1> (float_sizes, width_height)
            limits = GatherND (limit_rows, above_image)
            not_below = Max (decoded, none)
            above_boxes = Min (not_below, limits)

            box_start = Slice (above_boxes, zero, two, one)
            box_end = Slice (above_boxes, two, four, one)
            box_side = Sub (box_end, box_start)
            min_side = Constant <value_float: float = @min_side> ()
            long_side = {long_enough} (box_side, min_side)
            move_is_nan = IsNaN (move)
            box_is_nan = IsNaN (decoded)
            is_nan = Or (move_is_nan, box_is_nan)
            is_number = Not (is_nan)
            start_is_number = Slice (is_number, zero, two, one)
            end_is_number = Slice (is_number, two, four, one)
            both_numbers = And (start_is_number, end_is_number)
            good_side = And (long_side, both_numbers)
            good_x_column = Slice (good_side, zero, one, one)
            good_y_column = Slice (good_side, one, two, one)
            good_column = And (good_x_column, good_y_column)
            good = Squeeze (good_column, one)

            candidate_boxes = Compress <axis: int = 0> (above_boxes, good)
            candidate_scores = Compress <axis: int = 0> (above_scores, good)
            candidate_places = Compress <axis: int = 0> (above_places, good)
            count = Shape (candidate_scores)
            slots = Identity (count)
            candidates = Squeeze (count, zero)
            numbers = Range (zero64, candidates, one64)
            number_column = Unsqueeze (numbers, one)
            images = Slice (candidate_places, zero, one, one)
            image_column = Squeeze (images, one)
            places = Concat <axis: int = 1> (images, number_column)
            class_column = Slice (candidate_places, two, three, one)
            class_row = Squeeze (class_column, one)
            labels_of_image = Shape <start: int = 1, end: int = 2> (logits)
            image_keys = Mul (image_column, labels_of_image)
            keys = Add (image_keys, class_row)
            {SUPPRESSION}
            chosen = Where (taken, index, count)
            boxes_or_none = Concat <axis: int = 0> (candidate_boxes, no_box)
            boxes = Gather (boxes_or_none, chosen)
            scores_or_none = Concat <axis: int = 0> (candidate_scores, no_score)
            scores = Gather (scores_or_none, chosen)
            label_row = Add (class_row, one)
            labels_or_none = Concat <axis: int = 0> (label_row, no_label)
            labels64 = Gather (labels_or_none, chosen)
            labels = Cast <to: int = 6> (labels64)
        }}
        """
    )
