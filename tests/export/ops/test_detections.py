"""The function in ONNX Runtime against the eager operator, with NaN, infinities and ties."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from maskrt.export.ops.detections import detection_output, detection_output_function
from maskrt.plugins.detection_attributes import DetectionAttributes

from ...support.detections import CHOICES, HeadOutputs, detection_attributes, draw_head_outputs

MakeModel = Callable[..., onnx.ModelProto]


def session(
    make_model: MakeModel, attributes: DetectionAttributes, labels: int, dtypes: tuple[type, type]
) -> onnxruntime.InferenceSession:
    """Make a file of one DetectionOutput."""
    value = helper.make_tensor_value_info
    types = [helper.np_dtype_to_tensor_dtype(np.dtype(dtype)) for dtype in dtypes]
    inputs = [
        value("logits", types[0], ["N", labels]),
        value("deltas", types[1], ["N", attributes.delta_columns(labels)]),
        value("proposals", TensorProto.FLOAT, ["B", "R", 4]),
        value("num_proposals", TensorProto.INT32, ["B"]),
        value("image_sizes", TensorProto.INT32, ["B", 2]),
        value("score_threshold", TensorProto.FLOAT, ["B", 1]),
        value("nms_threshold", TensorProto.FLOAT, ["B", 1]),
    ]
    most = attributes.max_detections
    outputs = [
        value("num", TensorProto.INT32, ["B"]),
        value("boxes", TensorProto.FLOAT, ["B", most, 4]),
        value("scores", TensorProto.FLOAT, ["B", most]),
        value("labels", TensorProto.INT32, ["B", most]),
    ]
    model = make_model(detection_output_function(attributes), inputs, outputs, **attributes.to_node())
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def check(runner: onnxruntime.InferenceSession, outputs: HeadOutputs, attributes: DetectionAttributes) -> np.ndarray:
    """Compare with the eager operator, and return how many detections there are."""
    feed = dict(zip(outputs.__dataclass_fields__, outputs.arrays(), strict=True))
    expected = detection_output(*(torch.from_numpy(array) for array in outputs.arrays()), attributes)
    found: list[Any] = runner.run(None, feed)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.numpy().dtype
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    return found[0]


@pytest.mark.parametrize("changes", CHOICES, ids=range(len(CHOICES)))
@pytest.mark.parametrize("dtypes", [(np.float32, np.float32), (np.float32, np.float16)])
def test_function_equals_the_eager_operator(
    make_model: MakeModel, changes: dict[str, Any], dtypes: tuple[type, type], rng: np.random.Generator
) -> None:
    attributes = detection_attributes(**changes)
    for labels in (2, 6):
        runner = session(make_model, attributes, labels, dtypes)
        for _ in range(10):
            batch, proposals = int(rng.integers(1, 4)), int(rng.integers(1, 50))
            outputs = draw_head_outputs(rng, attributes, batch, proposals, labels, dtypes=dtypes)
            check(runner, outputs, attributes)


def test_images_without_candidates(make_model: MakeModel) -> None:
    attributes = detection_attributes()
    runner = session(make_model, attributes, 5, (np.float16, np.float16))
    outputs = draw_head_outputs(
        np.random.default_rng(0), attributes, 3, 20, 5, dtypes=(np.float16, np.float16), odd=False
    )
    assert check(runner, outputs, attributes).all()
    nothing = replace(outputs, score_threshold=np.ones((3, 1), np.float32))
    assert not check(runner, nothing, attributes).any()
    one = replace(outputs, score_threshold=np.array([[1], [0.1], [1]], np.float32))
    assert (check(runner, one, attributes) > 0).tolist() == [False, True, False]
    assert not check(runner, replace(outputs, num_proposals=np.zeros(3, np.int32)), attributes).any()
