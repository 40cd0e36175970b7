"""The custom operators as model-local ONNX functions in standard operators.

ONNX Runtime inlines them, so that the file runs there without anything of ours. TensorRT's parser takes the plugin of
the same name instead. Data-dependent shapes are therefore welcome here: they never reach TensorRT.

Constants follow the type of the data (`CastLike`) or lie between explicit casts, because converters to half precision
rewrite the graph but not the bodies of its functions.
"""

from __future__ import annotations

import onnx
from onnx import parser

from maskrt.contract.tensors import DOMAIN

OPSET = 20
"""Version of the standard operators in the exported file."""


def batched_nms() -> onnx.FunctionProto:
    """`BatchedNMS`: boxes above the score threshold, sorted; then NonMaxSuppression with a class channel per group.

    Image by image, because NonMaxSuppression takes one IoU threshold and each image has its own.
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
            blank = Expand (zero, m)

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


def multilevel_roi_align(levels: int) -> onnx.FunctionProto:
    """`MultilevelRoIAlign` over `levels` feature maps: the RoIs of each level through RoiAlign, then put in order."""
    features = ", ".join(f"feature_{i}" for i in range(levels))
    pooled = "\n".join(
        f"""
            level_{i} = Constant <value_ints: ints = [{i}]> ()
            on_{i} = Equal (level, level_{i})
            chosen_{i}_row = NonZero (on_{i})
            chosen_{i} = Squeeze (chosen_{i}_row, zero)
            boxes_{i} = Gather (boxes, chosen_{i})
            image_{i} = Gather (image, chosen_{i})
            scale_{i} = Gather (scales, level_{i})
            scaled_{i} = Mul (boxes_{i}, scale_{i})
            feature_{i}_float = Cast <to: int = 1> (feature_{i})
            pooled_{i} = RoiAlign <mode: string = "avg", output_height: int = @output_height,
                output_width: int = @output_width, sampling_ratio: int = @sampling_ratio, spatial_scale: float = 1.0,
                coordinate_transformation_mode: string = @coordinate_transformation_mode>
                (feature_{i}_float, scaled_{i}, image_{i})
        """
        for i in range(levels)
    )
    text = f"""
        <opset_import: ["" : {OPSET}], domain: "{DOMAIN}">
        MultilevelRoIAlign <output_height, output_width, sampling_ratio, coordinate_transformation_mode, mode, scales,
            level_thresholds, plugin_version, plugin_namespace>
        (rois, {features}) => (output)
        {{
            zero = Constant <value_ints: ints = [0]> ()
            one = Constant <value_ints: ints = [1]> ()
            two = Constant <value_ints: ints = [2]> ()
            four = Constant <value_ints: ints = [4]> ()
            flat_shape = Constant <value_ints: ints = [-1, 4]> ()
            scales = Constant <value_floats: floats = @scales> ()
            boxes = Reshape (rois, flat_shape)

            start = Slice (boxes, zero, two, one)
            end = Slice (boxes, two, four, one)
            extent = Sub (end, start)
            width = Slice (extent, zero, one, one)
            height = Slice (extent, one, two, one)
            area = Mul (width, height)
            size = Sqrt (area)
            {_level_choice(levels)}

            shape = Shape (rois)
            batch = Slice (shape, zero, one, zero)
            batch_scalar = Squeeze (batch, zero)
            zero64 = Constant <value: tensor = int64 {{0}}> ()
            one64 = Constant <value: tensor = int64 {{1}}> ()
            batch_range = Range (zero64, batch_scalar, one64)
            batch_column = Unsqueeze (batch_range, one)
            row_shape = Slice (shape, zero, two, zero)
            image_rows = Expand (batch_column, row_shape)
            minus = Constant <value_ints: ints = [-1]> ()
            image = Reshape (image_rows, minus)
            {pooled}
            {_merge(levels)}
        }}
    """
    return parser.parse_function(text)


def _level_choice(levels: int) -> str:
    if levels == 1:
        return """
            level_shape = Shape (size)
            level_rows = Expand (zero, level_shape)
            level = Squeeze (level_rows, one)"""
    return """
            thresholds = Constant <value_floats: floats = @level_thresholds> ()
            reached = GreaterOrEqual (size, thresholds)
            reached_int = Cast <to: int = 7> (reached)
            level = ReduceSum <keepdims: int = 0> (reached_int, one)"""


def _merge(levels: int) -> str:
    return f"""
            pooled = Concat <axis: int = 0> ({", ".join(f"pooled_{i}" for i in range(levels))})
            source = Concat <axis: int = 0> ({", ".join(f"chosen_{i}" for i in range(levels))})
            total = Shape (source)
            total_scalar = Squeeze (total, zero)
            positions = Range (zero64, total_scalar, one64)
            place = ScatterElements <axis: int = 0> (positions, source, positions)
            ordered = Gather (pooled, place)
            output = CastLike (ordered, feature_0)"""
