"""The TensorRT plugins' own code, from their fields to the launch, with the kernels emulated on the CPU."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from maskrt.plugins import abi, host, host_detections, host_proposals
from maskrt.plugins.attributes import RoiAlignAttributes

from ..support.detections import CHOICES, HeadOutputs, detection_attributes, draw_head_outputs
from ..support.proposals import draw_attributes, draw_maps

UNSUPPORTED = -77  # what the emulation returns beside what enqueue does


def to_channels_last(array: np.ndarray, stride: int, behind: float) -> np.ndarray:
    """[N, C, H, W] as [N, H, W, stride], with `behind` behind the channels."""
    missing = ((0, 0), (0, stride - array.shape[1]), (0, 0), (0, 0))
    padded = np.pad(array, missing, constant_values=behind)
    return np.ascontiguousarray(padded.transpose(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("dtype", "channels", "stride"),  # stride: of a pixel in channels-last memory; None: linear
    [
        (np.float32, 5, None),
        (np.float16, 5, None),
        (np.float32, 12, 12),
        (np.float16, 16, 16),
        (np.float16, 13, 16),  # what lies behind the channels of a feature may be anything
    ],
)
@pytest.mark.parametrize(("levels", "mode"), [(3, "avg"), (1, "max")])
@pytest.mark.parametrize("linear_output", [False, True])
def test_roi_align_equals_host(
    emulated_plugins: ctypes.CDLL,
    reference: Callable[..., Any],
    dtype: type,
    channels: int,
    stride: int | None,
    levels: int,
    mode: str,
    linear_output: bool,
) -> None:
    """A linear output of channels-last features is for the mean alone."""
    linear_output = linear_output and stride is not None
    rng = np.random.default_rng(channels)
    attributes = RoiAlignAttributes(7, 5, 2, (0.5, 0.25, 0.125)[:levels], (20.0, 40.0)[: levels - 1], mode=mode)
    corner = rng.uniform(-5, 60, (2, 9, 2))
    rois = np.concatenate([corner, corner + np.exp(rng.uniform(0, 4.5, (2, 9, 2)))], -1).astype(np.float32)
    features = [rng.standard_normal((2, channels, 40 >> i, 48 >> i)).astype(dtype) for i in range(levels)]
    expected = reference(host.multilevel_roi_align, rois, features, attributes)
    if stride is not None:
        features = [to_channels_last(feature, stride, np.nan) for feature in features]
        expected = expected if linear_output else to_channels_last(expected, stride, 0)
    output = np.full(expected.shape, 77, dtype)
    call = abi.RoiAlignStruct(
        attributes=attributes.to_struct(),
        batch=2,
        rois_per_image=9,
        channels=channels,
        data_type=abi.FLOAT16 if dtype == np.float16 else abi.FLOAT32,
        channels_last=stride is not None,
        linear_output=linear_output,
        rois=rois.ctypes.data,
        output=output.ctypes.data,
    )
    for level, feature in enumerate(features):
        call.heights[level], call.widths[level] = 40 >> level, 48 >> level
        call.features[level] = feature.ctypes.data
    assert emulated_plugins.emulated_roi_align(ctypes.byref(call)) == (
        UNSUPPORTED if linear_output and mode == "max" else 0
    )
    if not linear_output or mode == "avg":
        np.testing.assert_array_equal(output, expected)


@pytest.mark.parametrize("bins", [(7, 7), (14, 14), (1, 1), (3, 20), (224, 5)])
@pytest.mark.parametrize(("dtype", "channels"), [(np.float16, 83), (np.float16, 256), (np.float32, 36)])
@pytest.mark.parametrize("sampling_ratio", [2, 0])
def test_linear_output_of_any_shape(
    emulated_plugins: ctypes.CDLL,
    reference: Callable[..., Any],
    bins: tuple[int, int],
    dtype: type,
    channels: int,
    sampling_ratio: int,
) -> None:
    """Blocks that have all channels of an RoI, some of them, or one group; the last one with few."""
    rng = np.random.default_rng(channels)
    attributes = RoiAlignAttributes(*bins, sampling_ratio, (0.5, 0.25), (20.0,))
    corner = rng.uniform(0, 20, (1, 2, 2))
    rois = np.concatenate([corner, corner + rng.uniform(4, 20, (1, 2, 2))], -1).astype(np.float32)
    features = [rng.standard_normal((1, channels, 20 >> i, 24 >> i)).astype(dtype) for i in range(2)]
    expected = reference(host.multilevel_roi_align, rois, features, attributes)
    stride = -(-channels // 8) * 8 if dtype == np.float16 else channels
    memory = [to_channels_last(feature, stride, np.nan) for feature in features]
    output = np.full((expected.size + 64,), 77, dtype)
    call = abi.RoiAlignStruct(
        attributes=attributes.to_struct(),
        batch=1,
        rois_per_image=2,
        channels=channels,
        data_type=abi.FLOAT16 if dtype == np.float16 else abi.FLOAT32,
        channels_last=1,
        linear_output=1,
        rois=rois.ctypes.data,
        output=output.ctypes.data,
    )
    for level, feature in enumerate(memory):
        call.heights[level], call.widths[level] = 20 >> level, 24 >> level
        call.features[level] = feature.ctypes.data
    assert emulated_plugins.emulated_roi_align(ctypes.byref(call)) == 0
    np.testing.assert_array_equal(output[: expected.size].reshape(expected.shape), expected)
    assert (output[expected.size :] == 77).all()


def test_linear_output_needs_bins_that_a_block_holds(emulated_plugins: ctypes.CDLL) -> None:
    attributes = RoiAlignAttributes(113, 14, 2, (0.25,)).to_struct()
    call = abi.RoiAlignStruct(attributes, 1, 1, 8, abi.FLOAT16, channels_last=1, linear_output=1)
    call.heights[0] = call.widths[0] = 8
    assert emulated_plugins.emulated_roi_align(ctypes.byref(call)) == UNSUPPORTED


def test_channels_last_float32_needs_whole_vectors(emulated_plugins: ctypes.CDLL) -> None:
    attributes = RoiAlignAttributes(7, 7, 2, (0.25,)).to_struct()
    call = abi.RoiAlignStruct(attributes, 1, 1, 6, abi.FLOAT32, channels_last=1)
    call.heights[0] = call.widths[0] = 8
    assert emulated_plugins.emulated_roi_align(ctypes.byref(call)) == UNSUPPORTED


FLOAT, HALF, INT8, BF16 = 0, 1, 2, 7  # nvinfer1::DataType


@pytest.mark.parametrize(
    ("types", "output", "message"),
    [
        ((FLOAT, FLOAT, FLOAT), FLOAT, ""),
        ((FLOAT, HALF, HALF), HALF, ""),
        ((HALF, HALF, HALF), -1, "rois must be float32"),
        ((FLOAT, HALF, FLOAT), -1, "all float32 or all float16, but feature 1 is float32"),
        ((FLOAT, INT8, INT8), -1, "all float32 or all float16, but feature 0 is int8"),
        (
            (FLOAT, BF16, BF16),
            -1,
            "but feature 0 is bfloat16 (convert the model with `maskrt quantize --precision fp16`)",
        ),
        ((FLOAT, FLOAT), -1, "2 scales need 3 inputs (rois and the features), but there are 2"),
    ],
)
def test_roi_align_gives_the_features_type(
    emulated_plugins: ctypes.CDLL, types: tuple[int, ...], output: int, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    attributes = RoiAlignAttributes(7, 7, 2, (0.5, 0.25), (20.0,)).to_struct()
    given = (ctypes.c_int32 * len(types))(*types)
    assert emulated_plugins.emulated_roi_align_type(ctypes.byref(attributes), given, len(types)) == output
    assert message in capfd.readouterr().err


def test_the_timing_cache_tells_attributes_apart(emulated_plugins: ctypes.CDLL) -> None:
    """And a copy of a plugin, and one that was written and read, has the ID of the first."""
    emulated_plugins.emulated_roi_align_timing_id.restype = ctypes.c_char_p
    scales = (0.5, 0.25)
    attributes = [
        RoiAlignAttributes(7, 7, 2, scales, (20.0,)),
        RoiAlignAttributes(14, 14, 2, scales, (20.0,)),
        RoiAlignAttributes(7, 7, 2, scales, (21.0,)),
        RoiAlignAttributes(7, 7, 2, scales, (20.0,), mode="max"),
        RoiAlignAttributes(7, 7, 2, (0.5,)),
    ]
    structs = [each.to_struct() for each in attributes]
    ids = [
        emulated_plugins.emulated_roi_align_timing_id(ctypes.byref(struct), reread)
        for struct in structs
        for reread in (0, 1)
    ]
    assert all(len(one) == 16 for one in ids)
    assert ids[::2] == ids[1::2]
    assert len(set(ids)) == len(attributes)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("channels_last", [False, True])
def test_proposals_equal_host(
    emulated_plugins: ctypes.CDLL,
    reference: Callable[..., Any],
    dtype: type,
    channels_last: bool,
    rng: np.random.Generator,
) -> None:
    """In the workspace of a profile with one more image; channels that TensorRT adds to fill its vectors are NaN."""
    attributes = draw_attributes(rng, (3, 1, 2))
    maps = draw_maps(rng, attributes, 2, dtype)
    arguments = (maps.image_sizes, maps.canvas_size, maps.logits, maps.deltas, attributes)
    expected_num, expected = reference(host_proposals.generate_proposals, *arguments)
    num, proposals = np.full(2, 77, np.int32), np.full(expected.shape, 77, np.float32)
    call = abi.ProposalsStruct(
        attributes=attributes.to_struct(),
        batch=2,
        data_type=abi.FLOAT16 if dtype == np.float16 else abi.FLOAT32,
        channels_last=channels_last,
        image_sizes=maps.image_sizes.ctypes.data,
        canvas_size=maps.canvas_size.ctypes.data,
        num=num.ctypes.data,
        proposals=proposals.ctypes.data,
    )
    kept = []  # arrays that the call points to
    for level in range(3):
        call.heights[level], call.widths[level] = maps.logits[level].shape[2:]
        for pointers, array in ((call.logits, maps.logits[level]), (call.deltas, maps.deltas[level])):
            if channels_last:
                filling = -array.shape[1] % 8 if dtype == np.float16 else 0
                padded = np.pad(array, ((0, 0), (0, filling), (0, 0), (0, 0)), constant_values=np.nan)
                array = np.ascontiguousarray(padded.transpose(0, 2, 3, 1))
            pointers[level] = array.ctypes.data
            kept.append(array)
    assert emulated_plugins.emulated_proposals(ctypes.byref(call)) == 0
    np.testing.assert_array_equal(num, expected_num)
    np.testing.assert_array_equal(proposals, expected)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("pre_nms_top_k", 8193, "attribute pre_nms_top_k must be within 1 … 8192, but it is 8193"),
        ("post_nms_top_k", 0, "attribute post_nms_top_k must be within 1 … 1048576, but it is 0"),
        ("finite_logits", 2, "attribute finite_logits must be within 0 … 1, but it is 2"),
        ("nms_threshold", float("nan"), "attribute nms_threshold must be finite, but number 0 is nan"),
        ("max_log_scale", float("inf"), "attribute max_log_scale must be finite, but number 0 is inf"),
        ("cell_anchors", (1, 0), "attribute cell_anchors must be within 1 … 128, but it is 0"),
        ("cell_anchors", (128, 1), "all levels together must have at most 128 anchors to a position, but have 129"),
        ("strides", (4, -1), "attribute strides must be within 0 … 32768, but it is -1"),
        ("level_count", 9, "attribute cell_anchors must have 1 … 8 integers, but it has 9"),
    ],
)
def test_attributes_that_proposals_cannot_have(
    emulated_plugins: ctypes.CDLL, name: str, value: Any, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    struct = draw_attributes(np.random.default_rng(0), (1, 1)).to_struct()
    assert emulated_plugins.emulated_proposals_creation(ctypes.byref(struct)) == 1
    if isinstance(value, tuple):
        getattr(struct, name)[: len(value)] = value
    else:
        setattr(struct, name, value)
    assert emulated_plugins.emulated_proposals_creation(ctypes.byref(struct)) == 0
    assert f"GenerateProposals: {message}" in capfd.readouterr().err


def detections_call(
    outputs: HeadOutputs, attributes: Any
) -> tuple[abi.DetectionsStruct, tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Make a call, its inputs, and the arrays that it writes."""
    batch, proposals, _ = outputs.proposals.shape
    shape = (batch, attributes.max_detections)
    written = (
        np.full(batch, 77, np.int32),
        np.full((*shape, 4), 77, np.float32),
        np.full(shape, 77, np.float32),
        np.full(shape, 77, np.int32),
    )
    numbers = {np.dtype(np.float32): abi.FLOAT32, np.dtype(np.float16): abi.FLOAT16}
    call = abi.DetectionsStruct(
        attributes.to_struct(),
        *(batch, proposals, outputs.logits.shape[1]),
        *(numbers[array.dtype] for array in (outputs.logits, outputs.deltas)),
        *(array.ctypes.data for array in (*outputs.arrays(), *written)),
    )
    return call, outputs.arrays(), written


@pytest.mark.parametrize("dtypes", [(np.float32, np.float32), (np.float16, np.float16), (np.float32, np.float16)])
@pytest.mark.parametrize("changes", CHOICES, ids=range(len(CHOICES)))
def test_detections_equal_host(
    emulated_plugins: ctypes.CDLL,
    reference: Callable[..., Any],
    dtypes: Any,
    changes: dict[str, Any],
    rng: np.random.Generator,
) -> None:
    """In the workspace of a profile with one more image."""
    attributes = detection_attributes(**changes)
    outputs = draw_head_outputs(rng, attributes, 2, 40, 6, dtypes=dtypes)
    call, inputs, written = detections_call(outputs, attributes)
    assert emulated_plugins.emulated_detections(ctypes.byref(call), -1, None, 0) == 0
    for found, expected in zip(written, reference(host_detections.detection_output, *inputs, attributes), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("misfit", "shape", "message"),
    [
        (2, (2, 10), "input proposals must be [B, R, 4], but it is [2, 10]"),
        (0, (20, 1), "logits must be of 2 labels or more, but it is [20, 1]"),
        (
            0,
            (19, 6),
            "input logits must be [20, -1], as proposals are [2, 10, 4] and logits [19, 6], but it is [19, 6]",
        ),
        (
            1,
            (20, 20),
            "input deltas must be [20, 24], as proposals are [2, 10, 4] and logits [20, 6], but it is [20, 20]",
        ),
        (3, (2, 1), "input num_proposals must be [2], as"),
        (4, (2, 4), "input image_sizes must be [2, 2], as"),
        (5, (1, 1), "input score_threshold must be [2, 1], as"),
        (6, (2,), "input nms_threshold must be [2, 1], as"),
    ],
)
def test_detections_refuse_inputs_that_do_not_fit(
    emulated_plugins: ctypes.CDLL, misfit: int, shape: tuple[int, ...], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    attributes = detection_attributes()
    outputs = draw_head_outputs(np.random.default_rng(0), attributes, 2, 10, 6)
    call, _, written = detections_call(outputs, attributes)
    sizes = (ctypes.c_int64 * len(shape))(*shape)
    assert emulated_plugins.emulated_detections(ctypes.byref(call), misfit, sizes, len(shape)) == 1
    assert f"DetectionOutput: {message}" in capfd.readouterr().err
    assert (written[0] == 77).all()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("class_agnostic", 2, "attribute class_agnostic must be within 0 … 1, but it is 2"),
        ("min_side_inclusive", -1, "attribute min_side_inclusive must be within 0 … 1, but it is -1"),
        ("max_detections", 0, "attribute max_detections must be within 1 … 1048576, but it is 0"),
        ("min_side", float("nan"), "attribute min_side must be finite, but number 0 is nan"),
        ("max_log_scale", float("inf"), "attribute max_log_scale must be finite, but number 0 is inf"),
    ],
)
def test_attributes_that_detections_cannot_have(
    emulated_plugins: ctypes.CDLL, name: str, value: Any, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    struct = detection_attributes().to_struct()
    assert emulated_plugins.emulated_detections_creation(ctypes.byref(struct)) == 1
    setattr(struct, name, value)
    assert emulated_plugins.emulated_detections_creation(ctypes.byref(struct)) == 0
    assert f"DetectionOutput: {message}" in capfd.readouterr().err


INT32 = 3


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ((FLOAT, FLOAT, FLOAT, INT32, INT32, FLOAT, FLOAT), None),
        ((FLOAT, HALF, FLOAT, INT32, INT32, FLOAT, FLOAT), None),
        ((BF16, HALF, FLOAT, INT32, INT32, FLOAT, FLOAT), "input logits must be float32 or float16"),
        ((HALF, HALF, HALF, INT32, INT32, FLOAT, FLOAT), "input proposals must be float32"),
        ((HALF, HALF, FLOAT, FLOAT, INT32, FLOAT, FLOAT), "input num_proposals must be int32"),
        ((HALF, HALF, FLOAT, INT32, INT32, FLOAT), "there must be 7 inputs and 4 outputs, but there are 6 and 4"),
    ],
)
def test_types_of_detections(
    emulated_plugins: ctypes.CDLL, types: tuple[int, ...], message: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    given = (ctypes.c_int32 * len(types))(*types)
    assert emulated_plugins.emulated_detections_types(given, len(types)) == (message is None)
    assert message is None or f"DetectionOutput: {message}" in capfd.readouterr().err
