"""`GenerateProposals`: what a region proposal network's head says of its anchors becomes proposals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import onnx
from onnx import parser

from maskrt.contract.tensors import DOMAIN
from maskrt.export.ops import OPSET, PLUGIN_ATTRIBUTES
from maskrt.export.ops.nms import batched_nms
from maskrt.plugins.proposal_attributes import ProposalAttributes

if TYPE_CHECKING:
    from torch import Tensor

_NO_PROPOSAL = {"probability": (-1.0, -0.5), "logit": (-3.3e38, -3.2e38)}
"""By the score that decides: that of a row which is no proposal, and a threshold between it and all others."""

_LARGEST_LOGIT = 3e38
"""Infinite logits count as this in non-maximum suppression."""


def generate_proposals(
    image_sizes: Tensor,
    canvas_size: Tensor,
    logits: Sequence[Tensor],
    deltas: Sequence[Tensor],
    attributes: ProposalAttributes,
) -> tuple[Tensor, Tensor]:
    """Turn a region proposal network's maps into proposals (Ren et al. 2015).

    Of each level the best anchors are decoded (Girshick et al. 2014, appendix C; the order of operations is that of
    torchvision's `BoxCoder.decode_single`), clipped and filtered; of what non-maximum suppression keeps in each level,
    the best are proposals. Ties: the earlier level, then the lower number of the anchor (row by row, column by column).
    NaN logits rank first, as in `torch.topk`, and make no proposals; nor do boxes with a NaN coordinate.

    Args:
        image_sizes: `[B, 2]` int32, height and width that boxes are clipped to.
        canvas_size: `[2]` int32, height and width of what the network saw.
        logits: of each level, `[B, A, H_l, W_l]`.
        deltas: of each level, `[B, 4A, H_l, W_l]`.
        attributes: of the node.

    Returns:
        `num` `[B]` int32 and `proposals` `[B, K, 4]` float32 xyxy in canvas pixels, the best first; zero from `num` on.
    """
    import torch

    batch, most = image_sizes.shape[0], attributes.post_nms_top_k
    if torch.onnx.is_in_onnx_export():
        num, proposals = torch.onnx.ops.symbolic_multi_out(
            f"{DOMAIN}::GenerateProposals",
            (image_sizes, canvas_size, *logits, *deltas),
            {**attributes.to_node(), **PLUGIN_ATTRIBUTES},
            dtypes=(torch.int32, torch.float32),
            shapes=((batch,), (batch, most, 4)),
            version=1,
        )
        return num, proposals
    boxes, scores, groups = [], [], []
    first_anchor = 0
    for level, (scored, moves) in enumerate(zip(logits, deltas, strict=True)):
        own = attributes.anchors[first_anchor : first_anchor + 4 * attributes.cell_anchors[level]]
        first_anchor += len(own)
        best, index = _best_anchors(attributes, scored)
        cells = torch.tensor(own, device=scored.device).reshape(-1, 4)
        box = _decode(attributes, level, cells, scored.shape[2:], canvas_size, moves, index)
        height, width = image_sizes.float()[:, :1], image_sizes.float()[:, 1:]
        limits = torch.stack((width, height, width, height), dim=-1)
        box = torch.minimum(box.clamp(min=0), limits)
        boxes.append(box)
        scores.append(_nms_scores(attributes, box, best))
        groups.append(torch.full_like(best, level, dtype=torch.int32))
    box, score = torch.cat(boxes, dim=1), torch.cat(scores, dim=1)
    iou_thresholds = score.new_full((batch, 1), attributes.nms_threshold)
    score_thresholds = score.new_full((batch, 1), _NO_PROPOSAL[attributes.nms_by][1])
    num, kept = batched_nms(box, score, torch.cat(groups, dim=1), iou_thresholds, score_thresholds, most)
    chosen = torch.gather(box, 1, kept.clamp(min=0).long()[..., None].expand(-1, -1, 4))
    return num, torch.where(kept[..., None] >= 0, chosen, 0.0)


def _best_anchors(attributes: ProposalAttributes, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits and the numbers of a level's best anchors, both `[B, k]`."""
    import torch

    flat = logits.float().permute(0, 2, 3, 1).flatten(1)
    ranked = torch.sigmoid(flat) if attributes.top_k_by == "probability" else flat
    order = torch.sort(ranked, dim=1, descending=True, stable=True).indices[:, : attributes.pre_nms_top_k]
    return torch.gather(flat, 1, order), order


def _decode(
    attributes: ProposalAttributes,
    level: int,
    cells: Tensor,
    size: Sequence[int],
    canvas_size: Tensor,
    deltas: Tensor,
    index: Tensor,
) -> Tensor:
    """Return the boxes `[B, k, 4]` of the anchors of these numbers `[B, k]`."""
    import torch

    height, width = size
    position, cell = index // len(cells), index % len(cells)
    row, column = position // width, position % width
    stride = attributes.strides[level]
    strides = (canvas_size[1] // width, canvas_size[0] // height) if stride == 0 else (stride, stride)
    x, y = (column * strides[0]).float(), (row * strides[1]).float()
    anchor = cells[cell] + (torch.stack((x, y, x, y), dim=-1) + attributes.offsets[level])
    flat = deltas.float().flatten(2)
    channel = 4 * cell[..., None] + torch.arange(4, device=cell.device)
    moves = torch.gather(flat.flatten(1), 1, (channel * flat.shape[2] + position[..., None]).flatten(1))
    moves = moves.unflatten(1, (-1, 4))
    weights = moves.new_tensor(attributes.weights)
    moves = moves / weights if attributes.weights_operation == "divide" else moves * weights
    growth = moves[..., 2:].clamp(attributes.min_log_scale, attributes.max_log_scale)
    sides = anchor[..., 2:] - anchor[..., :2]
    centers = moves[..., :2] * sides + (anchor[..., :2] + 0.5 * sides)
    halves = 0.5 * (torch.exp(growth) * sides)
    return torch.cat((centers - halves, centers + halves), dim=-1)


def _nms_scores(attributes: ProposalAttributes, boxes: Tensor, logits: Tensor) -> Tensor:
    """Return the scores `[B, k]` for non-maximum suppression, below all others for boxes that are no proposals."""
    import torch

    sides, probability = boxes[..., 2:] - boxes[..., :2], torch.sigmoid(logits)
    long_enough = sides >= attributes.min_side if attributes.min_side_inclusive else sides > attributes.min_side
    exists = long_enough.all(dim=-1) & (probability >= attributes.min_probability)
    if attributes.finite_logits:
        exists = exists & torch.isfinite(logits)
    by_probability = attributes.nms_by == "probability"
    score = probability if by_probability else logits.clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT)
    return torch.where(exists, score, _NO_PROPOSAL[attributes.nms_by][0])


def generate_proposals_function(attributes: ProposalAttributes) -> onnx.FunctionProto:
    """`GenerateProposals` for these attributes, whose numbers the function takes from the node.

    Anchors are laid out, and deltas looked up, for the best of each level only.
    """
    levels = range(len(attributes.cell_anchors))
    names = ", ".join([f"logits_{i}" for i in levels] + [f"deltas_{i}" for i in levels])
    per_level = "".join(_best_of_level(attributes, i) for i in levels)
    joined = {name: ", ".join(f"{name}_{i}" for i in levels) for name in ("best_logit", "anchor", "move", "group")}
    weigh = "Div" if attributes.weights_operation == "divide" else "Mul"
    long_enough = "GreaterOrEqual" if attributes.min_side_inclusive else "Greater"
    absent, threshold = _NO_PROPOSAL[attributes.nms_by]
    score = (
        "Identity (probability)"
        if attributes.nms_by == "probability"
        else "Clip (best_logit, smallest_logit, largest_logit)"
    )
    finite = (
        "is_infinite = IsInf (best_logit)\n            is_finite = Not (is_infinite)\n            "
        "exists = And (probable_and_long, is_finite)"
        if attributes.finite_logits
        else "exists = Identity (probable_and_long)"
    )
    return parser.parse_function(
        f"""
        <opset_import: ["" : {OPSET}, "{DOMAIN}" : 1], domain: "{DOMAIN}">
        GenerateProposals <{", ".join(attributes.to_node())}, plugin_version, plugin_namespace>
        (image_sizes, canvas_size, {names}) => (num, proposals)
        {{
            zero = Constant <value_ints: ints = [0]> ()
            one = Constant <value_ints: ints = [1]> ()
            two = Constant <value_ints: ints = [2]> ()
            three = Constant <value_ints: ints = [3]> ()
            four = Constant <value_ints: ints = [4]> ()
            minus = Constant <value_ints: ints = [-1]> ()
            flat_shape = Constant <value_ints: ints = [0, -1]> ()
            rows_shape = Constant <value_ints: ints = [0, -1, 4]> ()
            four_columns = Constant <value_ints: ints = [-1, 4]> ()
            of_four = Constant <value_ints: ints = [0, 1, 2, 3]> ()
            width_height = Constant <value_ints: ints = [1, 0, 1, 0]> ()
            half = Constant <value: tensor = float {{0.5}}> ()
            none = Constant <value: tensor = float {{0.0}}> ()
            largest_float = Constant <value: tensor = float {{3.4028234663852886e38}}> ()
            first_of_all = Mul (largest_float, largest_float)
            smallest_float = Neg (largest_float)
            largest_logit = Constant <value: tensor = float {{{_LARGEST_LOGIT}}}> ()
            smallest_logit = Neg (largest_logit)
            absent = Constant <value: tensor = float {{{absent}}}> ()
            candidate_threshold = Constant <value_floats: floats = [{threshold}]> ()
            pre_nms_top_k = Constant <value_int: int = @pre_nms_top_k> ()
            most_of_level = Unsqueeze (pre_nms_top_k, zero)
            flat_anchors = Constant <value_floats: floats = @anchors> ()
            all_cells = Reshape (flat_anchors, four_columns)
            offsets = Constant <value_floats: floats = @offsets> ()
            canvas = Cast <to: int = 7> (canvas_size)
            canvas_height = Slice (canvas, zero, one, zero)
            canvas_width = Slice (canvas, one, two, zero)
            {per_level}
            best_logit = Concat <axis: int = 1> ({joined["best_logit"]})
            anchor = Concat <axis: int = 1> ({joined["anchor"]})
            move = Concat <axis: int = 1> ({joined["move"]})
            group = Concat <axis: int = 1> ({joined["group"]})

            weights = Constant <value_floats: floats = @weights> ()
            weighted = {weigh} (move, weights)
            shift = Slice (weighted, zero, two, minus)
            unlimited = Slice (weighted, two, four, minus)
            min_log_scale = Constant <value_float: float = @min_log_scale> ()
            max_log_scale = Constant <value_float: float = @max_log_scale> ()
            growth = Clip (unlimited, min_log_scale, max_log_scale)
            start = Slice (anchor, zero, two, minus)
            end = Slice (anchor, two, four, minus)
            side = Sub (end, start)
            half_side = Mul (half, side)
            anchor_center = Add (start, half_side)
            moved = Mul (shift, side)
            center = Add (moved, anchor_center)
            factor = Exp (growth)
            new_side = Mul (factor, side)
            half_new_side = Mul (half, new_side)
            new_start = Sub (center, half_new_side)
            new_end = Add (center, half_new_side)
            decoded = Concat <axis: int = -1> (new_start, new_end)
            float_sizes = Cast <to: int = 1> (image_sizes)
            limit_rows = Gather <axis: int = 1> (float_sizes, width_height)
            limits = Unsqueeze (limit_rows, one)
            not_below = Max (decoded, none)
            box = Min (not_below, limits)

            box_start = Slice (box, zero, two, minus)
            box_end = Slice (box, two, four, minus)
            box_side = Sub (box_end, box_start)
            min_side = Constant <value_float: float = @min_side> ()
            long_side = {long_enough} (box_side, min_side)
            move_is_nan = IsNaN (move)
            box_is_nan = IsNaN (decoded)
            is_nan = Or (move_is_nan, box_is_nan)
            is_number = Not (is_nan)
            start_is_number = Slice (is_number, zero, two, minus)
            end_is_number = Slice (is_number, two, four, minus)
            both_numbers = And (start_is_number, end_is_number)
            good_side = And (long_side, both_numbers)
            good_side_int = Cast <to: int = 6> (good_side)
            good_sides = ReduceMin <keepdims: int = 0> (good_side_int, minus)
            long = Cast <to: int = 9> (good_sides)
            probability = Sigmoid (best_logit)
            min_probability = Constant <value_float: float = @min_probability> ()
            probable = GreaterOrEqual (probability, min_probability)
            logit_is_nan = IsNaN (best_logit)
            logit_is_number = Not (logit_is_nan)
            probable_number = And (probable, logit_is_number)
            probable_and_long = And (probable_number, long)
            {finite}
            score_or_nan = {score}
            score = Where (exists, score_or_nan, absent)

            shape = Shape (image_sizes)
            batch = Slice (shape, zero, one, zero)
            column = Concat <axis: int = 0> (batch, one)
            nms_threshold = Constant <value_float: float = @nms_threshold> ()
            iou_thresholds = Expand (nms_threshold, column)
            score_thresholds = Expand (candidate_threshold, column)
            num, kept = {DOMAIN}.BatchedNMS <max_output: int = @post_nms_top_k>
                (box, score, group, iou_thresholds, score_thresholds)
            kept64 = Cast <to: int = 7> (kept)
            row = Max (kept64, zero)
            row_column = Unsqueeze (row, minus)
            chosen = GatherND <batch_dims: int = 1> (box, row_column)
            there = GreaterOrEqual (kept64, zero)
            there_column = Unsqueeze (there, minus)
            proposals = Where (there_column, chosen, none)
        }}
        """
    )


def _best_of_level(attributes: ProposalAttributes, i: int) -> str:
    """Statements that make `best_logit_i` `[B, k]`, `group_i` `[B, k]`, and `anchor_i` and `move_i` `[B, k, 4]`."""
    first = sum(attributes.cell_anchors[:i])
    stride = attributes.strides[i]
    if attributes.top_k_by == "probability":
        ranked = f"number_{i} = Sigmoid (flat_{i})"
    else:
        ranked = f"number_{i} = Clip (flat_{i}, smallest_float, largest_float)"
    return f"""
            float_{i} = Cast <to: int = 1> (logits_{i})
            places_last_{i} = Transpose <perm: ints = [0, 2, 3, 1]> (float_{i})
            flat_{i} = Reshape (places_last_{i}, flat_shape)
            {ranked}
            is_nan_{i} = IsNaN (flat_{i})
            ranked_{i} = Where (is_nan_{i}, first_of_all, number_{i})
            flat_shape_{i} = Shape (flat_{i})
            count_{i} = Slice (flat_shape_{i}, one, two, zero)
            k_{i} = Min (count_{i}, most_of_level)
            best_{i}, index_{i} = TopK <axis: int = 1> (ranked_{i}, k_{i})
            best_logit_{i} = GatherElements <axis: int = 1> (flat_{i}, index_{i})
            index_shape_{i} = Shape (index_{i})
            level_{i} = Constant <value: tensor = int32 {{{i}}}> ()
            group_{i} = Expand (level_{i}, index_shape_{i})

            cells_{i} = Constant <value: tensor = int64 {{{attributes.cell_anchors[i]}}}> ()
            position_{i} = Div (index_{i}, cells_{i})
            first_cell_{i} = Mul (position_{i}, cells_{i})
            cell_{i} = Sub (index_{i}, first_cell_{i})
            map_shape_{i} = Shape (logits_{i})
            height_{i} = Slice (map_shape_{i}, two, three, zero)
            width_{i} = Slice (map_shape_{i}, three, four, zero)
            row_{i} = Div (position_{i}, width_{i})
            first_column_{i} = Mul (row_{i}, width_{i})
            column_{i} = Sub (position_{i}, first_column_{i})
            nominal_{i} = Constant <value_ints: ints = [{stride}]> ()
            stride_x_{i} = {"Identity (nominal_" + str(i) + ")" if stride else f"Div (canvas_width, width_{i})"}
            stride_y_{i} = {"Identity (nominal_" + str(i) + ")" if stride else f"Div (canvas_height, height_{i})"}
            x64_{i} = Mul (column_{i}, stride_x_{i})
            y64_{i} = Mul (row_{i}, stride_y_{i})
            x_row_{i} = Unsqueeze (x64_{i}, minus)
            y_row_{i} = Unsqueeze (y64_{i}, minus)
            corner64_{i} = Concat <axis: int = -1> (x_row_{i}, y_row_{i}, x_row_{i}, y_row_{i})
            corner_{i} = Cast <to: int = 1> (corner64_{i})
            number_of_level_{i} = Constant <value_ints: ints = [{i}]> ()
            offset_{i} = Gather (offsets, number_of_level_{i})
            origin_{i} = Add (corner_{i}, offset_{i})
            first_anchor_{i} = Constant <value_ints: ints = [{first}]> ()
            last_anchor_{i} = Constant <value_ints: ints = [{first + attributes.cell_anchors[i]}]> ()
            own_cells_{i} = Slice (all_cells, first_anchor_{i}, last_anchor_{i}, zero)
            around_origin_{i} = Gather (own_cells_{i}, cell_{i})
            anchor_{i} = Add (around_origin_{i}, origin_{i})

            positions_{i} = Mul (height_{i}, width_{i})
            cell_column_{i} = Unsqueeze (cell_{i}, minus)
            first_channel_{i} = Mul (cell_column_{i}, four)
            channel_{i} = Add (first_channel_{i}, of_four)
            before_channel_{i} = Mul (channel_{i}, positions_{i})
            position_column_{i} = Unsqueeze (position_{i}, minus)
            delta_index_{i} = Add (before_channel_{i}, position_column_{i})
            flat_index_{i} = Reshape (delta_index_{i}, flat_shape)
            flat_deltas_{i} = Reshape (deltas_{i}, flat_shape)
            flat_move_{i} = GatherElements <axis: int = 1> (flat_deltas_{i}, flat_index_{i})
            move_of_type_{i} = Reshape (flat_move_{i}, rows_shape)
            move_{i} = Cast <to: int = 1> (move_of_type_{i})
"""
