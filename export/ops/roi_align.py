"""`MultilevelRoIAlign`: RoIAlign on the level of a feature pyramid that each RoI's size asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import onnx
from onnx import parser

from maskrt.contract.tensors import DOMAIN
from maskrt.export.ops import OPSET, PLUGIN_ATTRIBUTES

if TYPE_CHECKING:
    from torch import Tensor


def multilevel_roi_align(
    rois: Tensor,
    features: Sequence[Tensor],
    output_height: int,
    output_width: int,
    sampling_ratio: int,
    aligned: bool,
    scales: Sequence[float],
    level_thresholds: Sequence[float],
    mode: Literal["avg", "max"] = "avg",
    *,
    sampled: bool = False,
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
        mode: the mean of a cell's samples, each interpolated, or their maximum, which needs a sampling ratio of 1 or
            more.
        sampled: whether the node says what the function with `maxima` asks for: true of all nodes of a file, or of
            none.

    Returns:
        `[B*R,C,output_height,output_width]` of the features' type.
    """
    import torch
    from torch.nn.functional import max_pool2d
    from torchvision.ops import roi_align

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
                "mode": mode,
                "scales": list(scales),
                **several_levels,
                **(_sampled(output_height, output_width, sampling_ratio, mode) if sampled else {}),
                **PLUGIN_ATTRIBUTES,
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
    window = sampling_ratio if mode == "max" else 1
    for index, (feature, scale) in enumerate(zip(features, scales, strict=True)):
        chosen = torch.where(level == index)[0]
        pooled = roi_align(
            feature.float(),
            torch.cat([image[chosen, None], boxes[chosen]], dim=1),
            (window * output_height, window * output_width),
            spatial_scale=scale,
            sampling_ratio=1 if mode == "max" else sampling_ratio,
            aligned=aligned,
        )
        output[chosen] = max_pool2d(pooled, window).to(output.dtype) if window > 1 else pooled.to(output.dtype)
    return output


def _sampled(output_height: int, output_width: int, sampling_ratio: int, mode: str) -> dict[str, Any]:
    """Say as attributes how the function with `maxima` computes a node; the plugin does not read them."""
    window = sampling_ratio if mode == "max" else 1
    return {
        "sampled_height": window * output_height,
        "sampled_width": window * output_width,
        "samples": 1 if mode == "max" else sampling_ratio,
        "window": [window, window],
    }


def multilevel_roi_align_function(levels: int, *, maxima: bool = False) -> onnx.FunctionProto:
    """`MultilevelRoIAlign` over `levels` feature maps: the RoIs of each level through RoiAlign, then put in order.

    `maxima`: for files that have nodes of mode "max". ONNX's own mode of that name takes the maximum over weighted
    corners; the maximum over interpolated samples is RoiAlign of one sample at as many cells as there are samples, and
    MaxPool over those of a cell. Nodes of mode "avg" pool windows of one cell then.
    """
    attributes = ", sampled_height, sampled_width, samples, window" if maxima else ""
    height, width, ratio = (
        ("sampled_height", "sampled_width", "samples")
        if maxima
        else ("output_height", "output_width", "sampling_ratio")
    )
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
            pooled_{i} = RoiAlign <mode: string = "avg", output_height: int = @{height},
                output_width: int = @{width}, sampling_ratio: int = @{ratio}, spatial_scale: float = 1.0,
                coordinate_transformation_mode: string = @coordinate_transformation_mode>
                (feature_{i}_float, scaled_{i}, image_{i})
        """
        for i in range(levels)
    )
    text = f"""
        <opset_import: ["" : {OPSET}], domain: "{DOMAIN}">
        MultilevelRoIAlign <output_height, output_width, sampling_ratio, coordinate_transformation_mode, mode, scales,
            level_thresholds, plugin_version, plugin_namespace{attributes}>
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
            {_merge(levels, maxima)}
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


def _merge(levels: int, maxima: bool) -> str:
    return f"""
            pooled = Concat <axis: int = 0> ({", ".join(f"pooled_{i}" for i in range(levels))})
            source = Concat <axis: int = 0> ({", ".join(f"chosen_{i}" for i in range(levels))})
            total = Shape (source)
            total_scalar = Squeeze (total, zero)
            positions = Range (zero64, total_scalar, one64)
            place = ScatterElements <axis: int = 0> (positions, source, positions)
            ordered = Gather (pooled, place)
            {"cells = MaxPool <kernel_shape: ints = @window, strides: ints = @window> (ordered)" if maxima else ""}
            output = CastLike ({"cells" if maxima else "ordered"}, feature_0)"""
