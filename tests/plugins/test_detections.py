"""DetectionOutput: the host build against the eager operator and torchvision, the kernels against the host build."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models.detection import fasterrcnn_resnet50_fpn

from maskrt.export.ops.detections import detection_output
from maskrt.plugins import abi, device, device_detections, host_detections
from maskrt.plugins.detection_attributes import DetectionAttributes

from ..support.detections import CHOICES, HeadOutputs, detection_attributes, draw_head_outputs


@pytest.fixture
def host(reference: Callable[..., Any]) -> Callable[..., tuple[np.ndarray, ...]]:
    """Give the host build's function of a head's outputs and attributes."""

    def call(outputs: HeadOutputs, attributes: DetectionAttributes) -> tuple[np.ndarray, ...]:
        return reference(host_detections.detection_output, *outputs.arrays(), attributes)

    return call


def _eager(outputs: HeadOutputs, attributes: DetectionAttributes) -> list[np.ndarray]:
    tensors = (torch.from_numpy(array) for array in outputs.arrays())
    return [tensor.numpy() for tensor in detection_output(*tensors, attributes)]


def _launch(kernels: Any, outputs: HeadOutputs, attributes: DetectionAttributes) -> list[np.ndarray]:
    """Run the kernels, with guards behind the outputs and the workspace."""
    stream = kernels._start()
    batch, count, _ = outputs.proposals.shape
    shape = (batch + 1, attributes.max_detections)
    targets = [
        kernels._put(np.full(size, 77, dtype))
        for size, dtype in ((batch + 1, np.int32), ((*shape, 4), np.float32), (shape, np.float32), (shape, np.int32))
    ]
    labels = outputs.logits.shape[1]
    needed = device_detections.detection_output_workspace_bytes(batch, count, labels, attributes)
    workspace = kernels._put(np.random.default_rng(0).integers(0, 256, needed + 64, np.uint8))
    before = kernels._get(workspace)[needed:].copy()
    inputs = [kernels._put(array) for array in outputs.arrays()]
    device_detections.detection_output(
        *inputs, *(target[:batch] for target in targets), workspace[:needed], attributes, stream
    )
    for target in targets:
        assert (kernels._get(target)[batch] == 77).all()
    np.testing.assert_array_equal(kernels._get(workspace)[needed:], before)
    return [kernels._get(target)[:batch] for target in targets]


def _draw(rng: np.random.Generator, changes: dict[str, Any], **more: Any) -> tuple[HeadOutputs, DetectionAttributes]:
    attributes = detection_attributes(**changes)
    batch, proposals, labels = (int(rng.integers(low, high)) for low, high in ((1, 4), (1, 50), (2, 9)))
    return draw_head_outputs(rng, attributes, batch, proposals, labels, **more), attributes


@pytest.mark.parametrize("changes", CHOICES, ids=range(len(CHOICES)))
def test_host_equals_the_eager_operator(
    host: Callable[..., Any], changes: dict[str, Any], rng: np.random.Generator
) -> None:
    for _ in range(20):
        outputs, attributes = _draw(rng, changes)
        for found, expected in zip(host(outputs, attributes), _eager(outputs, attributes), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-4)


def test_host_equals_torchvision(host: Callable[..., Any], rng: np.random.Generator) -> None:
    """Its own post-processing of the heads' outputs."""
    heads = fasterrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=6, box_detections_per_img=30
    ).eval()
    attributes = detection_attributes()
    drawn = draw_head_outputs(rng, attributes, 2, 60, 6, odd=False, thresholds=(0.05, 0.5))
    every = np.full(2, 60, np.int32)
    same = np.repeat([[0.05], [0.5]], 2, axis=1)[..., None].astype(np.float32)
    logits = rng.standard_normal(drawn.logits.shape).astype(np.float32) * 2
    deltas = rng.standard_normal(drawn.deltas.shape).astype(np.float32)
    outputs = replace(
        drawn, logits=logits, deltas=deltas, num_proposals=every, score_threshold=same[0], nms_threshold=same[1]
    )
    tensors = [torch.from_numpy(array) for array in (outputs.logits, outputs.deltas)]
    with torch.inference_mode():
        boxes, scores, labels = heads.roi_heads.postprocess_detections(
            *tensors, list(torch.from_numpy(outputs.proposals)), [tuple(size) for size in outputs.image_sizes.tolist()]
        )
    num, *found = host(outputs, attributes)
    for image, expected in enumerate(zip(boxes, scores, labels, strict=True)):
        assert num[image] == len(expected[1]) > 5
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours[image, : num[image]], theirs, atol=1e-3)
            assert not ours[image, num[image] :].any()


@pytest.mark.parametrize("changes", CHOICES, ids=range(len(CHOICES)))
@pytest.mark.parametrize("dtypes", [(np.float32, np.float32), (np.float16, np.float16), (np.float32, np.float16)])
def test_kernels_equal_the_host_build(
    kernels: Any, host: Callable[..., Any], changes: dict[str, Any], dtypes: Any, rng: np.random.Generator
) -> None:
    for seed in range(2):
        kernels.seed = seed
        outputs, attributes = _draw(rng, changes, dtypes=dtypes)
        for ours, theirs in zip(_launch(kernels, outputs, attributes), host(outputs, attributes), strict=True):
            np.testing.assert_array_equal(ours, theirs)


# An image's candidates of one block or many, whose borders cut proposals or do not; more labels than a warp has lanes,
# and than a block has slots.
@pytest.mark.parametrize(("proposals", "labels"), [(700, 8), (513, 9), (2100, 2), (40, 91), (2, 2500), (0, 5)])
def test_blocks_share_proposals(kernels: Any, host: Callable[..., Any], proposals: int, labels: int) -> None:
    rng = np.random.default_rng(labels)
    attributes = detection_attributes(max_detections=120)
    odd = labels < 100  # of more, each proposal would have a NaN
    outputs = draw_head_outputs(rng, attributes, 1, proposals, labels, odd=odd, thresholds=(1 / (5 * labels), 0.4))
    outputs = replace(outputs, logits=(outputs.logits + rng.standard_normal(outputs.logits.shape)).astype(np.float32))
    found = _launch(kernels, outputs, attributes)
    assert (found[0] > 0).all() == (proposals > 0)
    for ours, theirs in zip(found, host(outputs, attributes), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 1.0, np.nan])
def test_any_threshold(kernels: Any, host: Callable[..., Any], threshold: float) -> None:
    """With none that says no, every class of every proposal is a candidate, and the first round does not suffice."""
    rng = np.random.default_rng(3)
    attributes = detection_attributes(max_detections=400)
    outputs = draw_head_outputs(rng, attributes, 1, 300, 12, odd=False)
    outputs = replace(outputs, score_threshold=np.full((1, 1), threshold, np.float32))
    found = _launch(kernels, outputs, attributes)
    assert (found[0] > 0).all() == (threshold <= 0)
    for ours, theirs in zip(found, host(outputs, attributes), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_makes_no_detection(kernels: Any, host: Callable[..., Any], bad: float) -> None:
    attributes = detection_attributes()
    outputs = draw_head_outputs(np.random.default_rng(0), attributes, 2, 20, 4, odd=False)
    logits = np.full_like(outputs.logits, bad)
    assert not _launch(kernels, replace(outputs, logits=logits), attributes)[0].any()
    deltas = np.full_like(outputs.deltas, bad)
    found = _launch(kernels, replace(outputs, deltas=deltas), attributes)
    for ours, theirs in zip(found, host(replace(outputs, deltas=deltas), attributes), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert np.isfinite(ours).all()


@pytest.mark.parametrize(("num", "expected"), [(-5, 0), (0, 0), (9999, 20)])
def test_numbers_of_proposals_out_of_range(kernels: Any, host: Callable[..., Any], num: int, expected: int) -> None:
    """They are cut; nothing is read behind the proposals."""
    attributes = detection_attributes()
    outputs = draw_head_outputs(np.random.default_rng(0), attributes, 1, 20, 4, odd=False)
    strange = replace(outputs, num_proposals=np.array([num], np.int32))
    clear = replace(outputs, num_proposals=np.array([expected], np.int32))
    for found in (_launch(kernels, strange, attributes), host(strange, attributes)):
        for ours, theirs in zip(found, host(clear, attributes), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("labels", 1, "an argument is out of its range"),
        ("proposals_per_image", -1, "an argument is out of its range"),
        ("batch", -1, "an argument is out of its range"),
        ("batch", 70_000, "the call is too large for one launch"),
        ("proposals_per_image", 1 << 30, "the call is too large for one launch"),
    ],
)
def test_calls_that_the_kernels_refuse(emulated_kernels: Any, field: str, value: int, message: str) -> None:
    emulated_kernels._start()
    call = abi.DetectionsStruct(detection_attributes().to_struct(), 1, 10, 4)
    setattr(call, field, value)
    with pytest.raises(device.DeviceError, match=message):
        device.check(device.library().maskrt_detections_launch(ctypes.byref(call), None, None))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": np.zeros((39, 4), np.float32)}, r"logits must be of shape \(40, 2 or more\)"),
        ({"logits": np.zeros((40, 1), np.float32)}, "2 or more"),
        ({"logits": np.zeros((40, 4))}, "logits must be float32 or float16, but is float64"),
        (
            {"deltas": np.zeros((40, 12), np.float32)},
            r"deltas must be of shape \(40, 16\), but their shape is \(40, 12\)",
        ),
        ({"proposals": np.zeros((2, 20, 5), np.float32)}, "proposals must be"),
        ({"num_proposals": np.zeros(3, np.int32)}, "num_proposals must be int32 of shape"),
        ({"image_sizes": np.zeros((2, 2), np.int64)}, "image_sizes must be int32"),
        ({"score_threshold": np.zeros(2, np.float32)}, "score_threshold must be float32 of shape"),
    ],
)
def test_arrays_that_do_not_fit(
    emulated_kernels: Any, host: Callable[..., Any], change: dict[str, np.ndarray], message: str
) -> None:
    attributes = detection_attributes()
    outputs = replace(draw_head_outputs(np.random.default_rng(0), attributes, 2, 20, 4), **change)
    with pytest.raises(ValueError, match=message):
        host(outputs, attributes)
    with pytest.raises(ValueError, match=message):
        _launch(emulated_kernels, outputs, attributes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "relu"}, "activation must be one of"),
        ({"background": "none"}, "background must be one of"),
        ({"weights": (1.0, 1.0, 1.0)}, "there must be 4 weights"),
        ({"max_log_scale": float("inf")}, "max_log_scale must be finite"),
        ({"class_agnostic": 2}, "class_agnostic must be 0 or 1"),
        ({"max_detections": 0}, "max_detections must be within 1 and 1048576, but is 0"),
    ],
)
def test_attributes_out_of_range(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        detection_attributes(**change)
