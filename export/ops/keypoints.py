"""`DecodeKeypoints`: from a heatmap for each keypoint of each box to points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from onnx import parser

from maskrt.contract.tensors import DOMAIN
from maskrt.export.ops import OPSET, PLUGIN_ATTRIBUTES

if TYPE_CHECKING:
    from torch import Tensor


def decode_keypoints(boxes: Tensor, heatmaps: Tensor, normalized: bool) -> Tensor:
    """Find where each heatmap, stretched over its box, is highest (torchvision's `heatmaps_to_keypoints`).

    A heatmap becomes a bicubic surface of ceil(width) x ceil(height) pixels, sides below one pixel being one. Of equal
    maxima it is the first in row order.

    Args:
        boxes: `[B,K,4]` float32 xyxy in canvas pixels.
        heatmaps: `[B*K,N,M,M]` float32 logits.
        normalized: False: the score is the logit at the maximum (torchvision). True: it is
            1 / the sum of exp(heatmap - that logit) over the heatmap (detectron2), and may exceed 1.

    Returns:
        `[B,K,N,3]` float32: x, y in canvas pixels, score.
    """
    import torch
    from torchvision.models.detection.roi_heads import heatmaps_to_keypoints

    if torch.onnx.is_in_onnx_export():
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::DecodeKeypoints",
            (boxes, heatmaps),
            {"normalized": int(normalized), **PLUGIN_ATTRIBUTES},
            dtype=torch.float32,
            shape=(boxes.shape[0], boxes.shape[1], heatmaps.shape[1], 3),
            version=1,
        )
    points, scores = heatmaps_to_keypoints(heatmaps, boxes.reshape(-1, 4))
    if normalized:
        scores = 1 / (heatmaps - scores[..., None, None]).exp().sum(dim=(2, 3))
    return torch.cat((points[..., :2], scores[..., None]), dim=2).unflatten(0, boxes.shape[:2])


def decode_keypoints_function() -> onnx.FunctionProto:
    """`DecodeKeypoints`: box by box, the surfaces as products of matrices, then ArgMax.

    What Resize makes of the identity are the weights of its interpolation along an axis; the matrix products with them
    are what Resize makes of a heatmap, many times faster in ONNX Runtime than its own cubic Resize.
    """
    return parser.parse_function(
        f"""
        <opset_import: ["" : {OPSET}], domain: "{DOMAIN}">
        DecodeKeypoints <normalized, plugin_version, plugin_namespace>
        (boxes, heatmaps) => (keypoints)
        {{
            zero = Constant <value_ints: ints = [0]> ()
            one = Constant <value_ints: ints = [1]> ()
            two = Constant <value_ints: ints = [2]> ()
            three = Constant <value_ints: ints = [3]> ()
            four = Constant <value_ints: ints = [4]> ()
            minus = Constant <value_ints: ints = [-1]> ()
            zero64 = Constant <value: tensor = int64 {{0}}> ()
            one64 = Constant <value: tensor = int64 {{1}}> ()
            half = Constant <value: tensor = float {{0.5}}> ()
            pixel = Constant <value: tensor = float {{1.0}}> ()
            first_two = Constant <value_ints: ints = [0, 1]> ()
            last_two = Constant <value_ints: ints = [2, 3]> ()
            true = Constant <value: tensor = bool {{1}}> ()
            normalized_int = Constant <value_int: int = @normalized> ()
            is_normalized = Cast <to: int = 9> (normalized_int)

            flat_shape = Constant <value_ints: ints = [-1, 4]> ()
            corners = Reshape (boxes, flat_shape)
            shape = Shape (heatmaps)
            count = Slice (shape, zero, one, zero)
            count_scalar = Squeeze (count, zero)
            number = Slice (shape, one, two, zero)
            rows = Slice (shape, two, three, zero)
            columns = Slice (shape, three, four, zero)
            flat = Concat <axis: int = 0> (number, minus)

            rows_scalar = Squeeze (rows, zero)
            row_range = Range (zero64, rows_scalar, one64)
            row_column = Unsqueeze (row_range, one)
            row_identity_bool = Equal (row_range, row_column)
            row_identity_2d = Cast <to: int = 1> (row_identity_bool)
            row_identity = Unsqueeze (row_identity_2d, first_two)
            columns_scalar = Squeeze (columns, zero)
            column_range = Range (zero64, columns_scalar, one64)
            column_column = Unsqueeze (column_range, one)
            column_identity_bool = Equal (column_range, column_column)
            column_identity_2d = Cast <to: int = 1> (column_identity_bool)
            column_identity = Unsqueeze (column_identity_2d, first_two)

            found = Loop (count_scalar, true) <body: graph = of_a_box (int64 roi, bool go_on)
                => (bool still, float[n, 3] box_keypoints) {{
                still = Identity (go_on)
                corner = Gather (corners, roi)
                start = Gather (corner, first_two)
                end = Gather (corner, last_two)
                extent = Sub (end, start)
                sides = Max (extent, pixel)
                whole_sides = Ceil (sides)
                pixels = Cast <to: int = 7> (whole_sides)
                width = Gather (pixels, zero)
                height = Gather (pixels, one)

                heatmap = Gather (heatmaps, roi)
                down = Resize <mode: string = "cubic", cubic_coeff_a: float = -0.75, axes: ints = [2],
                    coordinate_transformation_mode: string = "half_pixel"> (row_identity, , , height)
                down_2d = Squeeze (down, first_two)
                across = Resize <mode: string = "cubic", cubic_coeff_a: float = -0.75, axes: ints = [3],
                    coordinate_transformation_mode: string = "half_pixel"> (column_identity, , , width)
                across_2d = Squeeze (across, first_two)
                stretched = MatMul (heatmap, across_2d)
                surface = MatMul (down_2d, stretched)

                values = Reshape (surface, flat)
                place = ArgMax <axis: int = 1, keepdims: int = 1> (values)
                logit = GatherElements <axis: int = 1> (values, place)
                column = Mod (place, width)
                row = Div (place, width)
                position = Concat <axis: int = 1> (column, row)
                position_float = Cast <to: int = 1> (position)
                middle = Add (position_float, half)
                ratio = Div (sides, whole_sides)
                scaled = Mul (middle, ratio)
                point = Add (scaled, start)

                cells = Reshape (heatmap, flat)
                below = Sub (cells, logit)
                exponentials = Exp (below)
                sum = ReduceSum (exponentials, one)
                share = Reciprocal (sum)
                score = Where (is_normalized, share, logit)
                box_keypoints = Concat <axis: int = 1> (point, score)
            }}>

            batch = Shape <start: int = 0, end: int = 2> (boxes)
            keypoints_shape = Concat <axis: int = 0> (batch, number, three)
            keypoints = Reshape (found, keypoints_shape)
        }}
        """
    )
