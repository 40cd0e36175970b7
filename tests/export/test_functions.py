"""The function bodies in ONNX Runtime against the eager operators, which are torchvision's."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from torchvision.ops import batched_nms as torchvision_batched_nms

from maskrt.contract.tensors import DOMAIN
from maskrt.export import functions, ops

PLUGIN = {"plugin_version": "1", "plugin_namespace": ""}


def _session(node: onnx.NodeProto, inputs: list, outputs: list, function: onnx.FunctionProto):
    opsets = [helper.make_opsetid("", functions.OPSET), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(
        helper.make_graph([node], "test", inputs, outputs),
        opset_imports=opsets,
        functions=[function],
        ir_version=10,
    )
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def nms_session():
    value = helper.make_tensor_value_info
    node = helper.make_node(
        "BatchedNMS",
        ["boxes", "scores", "groups", "iou", "score"],
        ["num", "indices"],
        domain=DOMAIN,
        max_output=30,
        **PLUGIN,
    )
    inputs = [
        value("boxes", TensorProto.FLOAT, ["B", "N", 4]),
        value("scores", TensorProto.FLOAT, ["B", "N"]),
        value("groups", TensorProto.INT32, ["B", "N"]),
        value("iou", TensorProto.FLOAT, ["B", 1]),
        value("score", TensorProto.FLOAT, ["B", 1]),
    ]
    outputs = [value("num", TensorProto.INT32, ["B"]), value("indices", TensorProto.INT32, ["B", 30])]
    return _session(node, inputs, outputs, functions.batched_nms())


def _random_boxes(rng: np.random.Generator, batch: int, count: int) -> np.ndarray:
    corner, size = rng.uniform(0, 100, (batch, count, 2)), rng.uniform(0, 40, (batch, count, 2))
    return np.concatenate([corner, corner + size], axis=2).astype(np.float32)


@pytest.mark.parametrize("ties", [False, True])
def test_nms_equals_the_eager_operator_and_torchvision(nms_session, ties):
    rng = np.random.default_rng()
    for _ in range(40):
        batch, count = rng.integers(1, 4), rng.integers(1, 200)
        boxes, groups = _random_boxes(rng, batch, count), rng.integers(0, 5, (batch, count)).astype(np.int32)
        scores = rng.random((batch, count)).astype(np.float32)
        if ties:
            scores = np.round(scores, 1)
        iou = rng.uniform(0.1, 0.9, (batch, 1)).astype(np.float32)
        score = rng.choice([0.0, 0.5, 0.95], (batch, 1)).astype(np.float32)
        num, indices = nms_session.run(
            None, {"boxes": boxes, "scores": scores, "groups": groups, "iou": iou, "score": score}
        )
        expected = ops.batched_nms(*map(torch.from_numpy, (boxes, scores, groups, iou, score)), 30)
        np.testing.assert_array_equal(num, expected[0])
        np.testing.assert_array_equal(indices, expected[1])
        for image in range(batch):
            if ties:  # torchvision's order among equal scores is not defined
                break
            above = np.flatnonzero(scores[image] > score[image])
            kept = torchvision_batched_nms(
                torch.from_numpy(boxes[image, above]),
                torch.from_numpy(scores[image, above]),
                torch.from_numpy(groups[image, above]).long(),
                float(iou[image, 0]),
            )
            np.testing.assert_array_equal(indices[image, : num[image]], above[kept.numpy()][:30])


def test_images_of_a_batch_with_different_thresholds_equal_images_alone(nms_session):
    rng = np.random.default_rng()
    for _ in range(20):
        batch, count = rng.integers(2, 6), rng.integers(1, 200)
        feed = {
            "boxes": _random_boxes(rng, batch, count),
            "scores": np.round(rng.random((batch, count)), 2).astype(np.float32),
            "groups": rng.integers(0, 5, (batch, count)).astype(np.int32),
            "iou": rng.uniform(0, 1, (batch, 1)).astype(np.float32),
            "score": rng.uniform(0, 1, (batch, 1)).astype(np.float32),
        }
        together = nms_session.run(None, feed)
        for image in range(batch):
            alone = nms_session.run(None, {name: values[image : image + 1] for name, values in feed.items()})
            for one, all_images in zip(alone, together, strict=True):
                np.testing.assert_array_equal(one[0], all_images[image])


def test_nms_without_a_candidate_gives_nothing(nms_session):
    boxes, zeros = _random_boxes(np.random.default_rng(), 2, 5), np.zeros((2, 5), np.float32)
    feed = {"boxes": boxes, "scores": zeros, "groups": zeros.astype(np.int32)}
    num, indices = nms_session.run(None, {**feed, "iou": np.float32([[0.5]] * 2), "score": np.float32([[0.0]] * 2)})
    assert num.tolist() == [0, 0]
    assert (indices == -1).all()


@pytest.mark.parametrize("levels", [1, 2, 4])
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_roi_align_equals_the_eager_operator(levels, aligned, sampling_ratio):
    scales, thresholds = [0.25, 0.125, 0.0625, 0.03125][:levels], [112.0, 224.0, 448.0][: levels - 1]
    several_levels = {"level_thresholds": thresholds} if thresholds else {}
    node = helper.make_node(
        "MultilevelRoIAlign",
        ["rois", *(f"feature_{i}" for i in range(levels))],
        ["output"],
        domain=DOMAIN,
        output_height=7,
        output_width=5,
        sampling_ratio=sampling_ratio,
        coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
        mode="avg",
        scales=scales,
        **several_levels,
        **PLUGIN,
    )
    value = helper.make_tensor_value_info
    inputs = [value("rois", TensorProto.FLOAT, ["B", "R", 4])]
    inputs += [value(f"feature_{i}", TensorProto.FLOAT, ["B", 3, f"h{i}", f"w{i}"]) for i in range(levels)]
    outputs = [value("output", TensorProto.FLOAT, ["BR", 3, 7, 5])]
    session = _session(node, inputs, outputs, functions.multilevel_roi_align(levels))
    rng = np.random.default_rng()
    for batch, count in ((1, 1), (2, 17), (3, 40)):
        features = [rng.standard_normal((batch, 3, int(512 * s), int(640 * s))).astype(np.float32) for s in scales]
        corner = rng.uniform(0, 500, (batch, count, 2))
        size = np.exp(rng.uniform(-1, 6.2, (batch, count, 2)))
        rois = np.concatenate([corner, np.minimum(corner + size, 640)], axis=2).astype(np.float32)
        rois[0, 0] = 0  # what pads a short list of proposals
        (output,) = session.run(None, {"rois": rois, **{f"feature_{i}": f for i, f in enumerate(features)}})
        expected = ops.multilevel_roi_align(
            torch.from_numpy(rois),
            [torch.from_numpy(f) for f in features],
            7,
            5,
            sampling_ratio,
            aligned,
            scales,
            thresholds,
        )
        np.testing.assert_allclose(output, expected, atol=2e-5)
