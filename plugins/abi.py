"""The C interface of the two libraries (maskrt_plugins.h), mirrored for ctypes."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

ABI_VERSION = 8
MAX_LEVELS = 8
MAX_RPN_LEVELS = 8
MAX_CELL_ANCHORS = 128
MOST_TOP_K = 8192
MOST_DETECTIONS = 1 << 20
FLOAT32 = 0
FLOAT16 = 1
UINT8 = 2
FILTERS: Mapping[str, int] = {"bilinear": 0, "pillow_bilinear": 1, "opencv_bilinear": 2}
"""The numbers of the names of `contract.pipeline.FILTERS`."""
PASTE_RULES: Mapping[str, int] = {"integer_box": 0, "pixel_centers": 1}
"""The numbers of the names of `contract.pipeline.PASTE_RULES`."""


class RoiAlignAttributesStruct(ctypes.Structure):
    """MaskrtRoiAlignAttributes."""

    _fields_ = (
        ("output_height", ctypes.c_int32),
        ("output_width", ctypes.c_int32),
        ("sampling_ratio", ctypes.c_int32),
        ("half_pixel", ctypes.c_int32),
        ("max_mode", ctypes.c_int32),
        ("level_count", ctypes.c_int32),
        ("scales", ctypes.c_float * MAX_LEVELS),
        ("level_thresholds", ctypes.c_float * (MAX_LEVELS - 1)),
    )


class RoiAlignStruct(ctypes.Structure):
    """MaskrtRoiAlign."""

    _fields_ = (
        ("attributes", RoiAlignAttributesStruct),
        ("batch", ctypes.c_int32),
        ("rois_per_image", ctypes.c_int32),
        ("channels", ctypes.c_int32),
        ("data_type", ctypes.c_int32),
        ("channels_last", ctypes.c_int32),
        ("channel_stride", ctypes.c_int32),
        ("linear_output", ctypes.c_int32),
        ("heights", ctypes.c_int32 * MAX_LEVELS),
        ("widths", ctypes.c_int32 * MAX_LEVELS),
        ("rois", ctypes.c_void_p),
        ("order", ctypes.c_void_p),
        ("features", ctypes.c_void_p * MAX_LEVELS),
        ("output", ctypes.c_void_p),
    )


class BatchedNmsStruct(ctypes.Structure):
    """MaskrtBatchedNms."""

    _fields_ = (
        ("batch", ctypes.c_int32),
        ("boxes_per_image", ctypes.c_int32),
        ("max_output", ctypes.c_int32),
        ("boxes", ctypes.c_void_p),
        ("scores", ctypes.c_void_p),
        ("groups", ctypes.c_void_p),
        ("iou_threshold", ctypes.c_void_p),
        ("score_threshold", ctypes.c_void_p),
        ("num", ctypes.c_void_p),
        ("indices", ctypes.c_void_p),
    )


class DecodeKeypointsStruct(ctypes.Structure):
    """MaskrtDecodeKeypoints."""

    _fields_ = (
        ("rois", ctypes.c_int32),
        ("keypoints", ctypes.c_int32),
        ("map_height", ctypes.c_int32),
        ("map_width", ctypes.c_int32),
        ("normalized", ctypes.c_int32),
        ("boxes", ctypes.c_void_p),
        ("heatmaps", ctypes.c_void_p),
        ("output", ctypes.c_void_p),
    )


class ProposalAttributesStruct(ctypes.Structure):
    """MaskrtProposalAttributes."""

    _fields_ = (
        ("level_count", ctypes.c_int32),
        ("cell_anchors", ctypes.c_int32 * MAX_RPN_LEVELS),
        ("strides", ctypes.c_int32 * MAX_RPN_LEVELS),
        ("offsets", ctypes.c_float * MAX_RPN_LEVELS),
        ("anchors", ctypes.c_float * (4 * MAX_CELL_ANCHORS)),
        ("weights", ctypes.c_float * 4),
        ("multiply", ctypes.c_int32),
        ("min_log_scale", ctypes.c_float),
        ("max_log_scale", ctypes.c_float),
        ("top_k_by_probability", ctypes.c_int32),
        ("nms_by_probability", ctypes.c_int32),
        ("pre_nms_top_k", ctypes.c_int32),
        ("post_nms_top_k", ctypes.c_int32),
        ("min_side", ctypes.c_float),
        ("min_side_inclusive", ctypes.c_int32),
        ("min_probability", ctypes.c_float),
        ("finite_logits", ctypes.c_int32),
        ("nms_threshold", ctypes.c_float),
    )


class ProposalsStruct(ctypes.Structure):
    """MaskrtProposals."""

    _fields_ = (
        ("attributes", ProposalAttributesStruct),
        ("batch", ctypes.c_int32),
        ("data_type", ctypes.c_int32),
        ("channels_last", ctypes.c_int32),
        ("logit_strides", ctypes.c_int32 * MAX_RPN_LEVELS),
        ("delta_strides", ctypes.c_int32 * MAX_RPN_LEVELS),
        ("heights", ctypes.c_int32 * MAX_RPN_LEVELS),
        ("widths", ctypes.c_int32 * MAX_RPN_LEVELS),
        ("image_sizes", ctypes.c_void_p),
        ("canvas_size", ctypes.c_void_p),
        ("logits", ctypes.c_void_p * MAX_RPN_LEVELS),
        ("deltas", ctypes.c_void_p * MAX_RPN_LEVELS),
        ("num", ctypes.c_void_p),
        ("proposals", ctypes.c_void_p),
    )


class DetectionAttributesStruct(ctypes.Structure):
    """MaskrtDetectionAttributes."""

    _fields_ = (
        ("activation", ctypes.c_int32),
        ("background_first", ctypes.c_int32),
        ("class_agnostic", ctypes.c_int32),
        ("weights", ctypes.c_float * 4),
        ("multiply", ctypes.c_int32),
        ("min_log_scale", ctypes.c_float),
        ("max_log_scale", ctypes.c_float),
        ("min_side", ctypes.c_float),
        ("min_side_inclusive", ctypes.c_int32),
        ("max_detections", ctypes.c_int32),
    )


class DetectionsStruct(ctypes.Structure):
    """MaskrtDetections."""

    _fields_ = (
        ("attributes", DetectionAttributesStruct),
        ("batch", ctypes.c_int32),
        ("proposals_per_image", ctypes.c_int32),
        ("labels", ctypes.c_int32),
        ("logits_type", ctypes.c_int32),
        ("deltas_type", ctypes.c_int32),
        ("logits", ctypes.c_void_p),
        ("deltas", ctypes.c_void_p),
        ("proposals", ctypes.c_void_p),
        ("num_proposals", ctypes.c_void_p),
        ("image_sizes", ctypes.c_void_p),
        ("score_threshold", ctypes.c_void_p),
        ("nms_threshold", ctypes.c_void_p),
        ("num", ctypes.c_void_p),
        ("boxes", ctypes.c_void_p),
        ("scores", ctypes.c_void_p),
        ("classes", ctypes.c_void_p),
    )


class FrameStruct(ctypes.Structure):
    """MaskrtFrame."""

    _fields_ = (
        ("pixels", ctypes.c_void_p),
        ("row_stride", ctypes.c_int64),
        ("height", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("resized_height", ctypes.c_int32),
        ("resized_width", ctypes.c_int32),
    )


class ResizePadStruct(ctypes.Structure):
    """MaskrtResizePad."""

    _fields_ = (
        ("batch", ctypes.c_int32),
        ("canvas_height", ctypes.c_int32),
        ("canvas_width", ctypes.c_int32),
        ("data_type", ctypes.c_int32),
        ("filter", ctypes.c_int32),
        ("frames", ctypes.c_void_p),
        ("canvas", ctypes.c_void_p),
    )


class PasteRleStruct(ctypes.Structure):
    """MaskrtPasteRle."""

    _fields_ = (
        ("instances", ctypes.c_int32),
        ("mask_size", ctypes.c_int32),
        ("image_height", ctypes.c_int32),
        ("image_width", ctypes.c_int32),
        ("rule", ctypes.c_int32),
        ("threshold", ctypes.c_float),
        ("box_scale_x", ctypes.c_float),
        ("box_scale_y", ctypes.c_float),
        ("boxes", ctypes.c_void_p),
        ("mask_probabilities", ctypes.c_void_p),
        ("num", ctypes.c_void_p),
        ("capacity", ctypes.c_int64),
        ("counts", ctypes.c_void_p),
        ("lengths", ctypes.c_void_p),
        ("total", ctypes.c_void_p),
    )
