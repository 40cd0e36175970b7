"""The function in ONNX Runtime against the eager operator, and that against torchvision's."""

import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from torchvision.ops import batched_nms as torchvision_batched_nms

from maskrt.export.ops.nms import batched_nms, batched_nms_function


@pytest.fixture(scope="module")
def nms_model(make_model):
    value = helper.make_tensor_value_info
    inputs = [
        value("boxes", TensorProto.FLOAT, ["B", "N", 4]),
        value("scores", TensorProto.FLOAT, ["B", "N"]),
        value("groups", TensorProto.INT32, ["B", "N"]),
        value("iou", TensorProto.FLOAT, ["B", 1]),
        value("score", TensorProto.FLOAT, ["B", 1]),
    ]
    outputs = [value("num", TensorProto.INT32, ["B"]), value("indices", TensorProto.INT32, ["B", 30])]
    return make_model(batched_nms_function(), inputs, outputs, max_output=30)


@pytest.fixture(scope="module")
def nms_session(nms_model):
    return onnxruntime.InferenceSession(nms_model.SerializeToString(), providers=["CPUExecutionProvider"])


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
        expected = batched_nms(*map(torch.from_numpy, (boxes, scores, groups, iou, score)), 30)
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


def _many_classes(rng: np.random.Generator, boxes: int, classes: int) -> dict[str, np.ndarray]:
    """As a head of many classes gives it: boxes around a few objects, each scored for every class, no scores tied."""
    objects = _random_boxes(rng, 1, 20)[0] * 10
    corners = objects[rng.integers(0, 20, boxes)][:, None] + rng.normal(0, 5, (boxes, classes, 4))
    scores = (rng.permutation(boxes * classes) + 0.5) / (boxes * classes)
    return {
        "boxes": corners.reshape(1, -1, 4).astype(np.float32),
        "scores": scores[None].astype(np.float32),
        "groups": np.tile(np.arange(1, classes + 1, dtype=np.int32), boxes)[None],
        "iou": np.float32([[0.5]]),
    }


@pytest.mark.parametrize("above", [500, 100_000])
def test_nms_of_1203_classes_equals_torchvision(nms_session, above):
    feed = _many_classes(np.random.default_rng(), 100, 1203)
    threshold = np.float32(1 - above / feed["scores"].size)
    num, indices = nms_session.run(None, {**feed, "score": threshold.reshape(1, 1)})
    candidates = np.flatnonzero(feed["scores"][0] > threshold)
    boxes, scores, groups = (torch.from_numpy(feed[name][0, candidates]) for name in ("boxes", "scores", "groups"))
    kept = torchvision_batched_nms(boxes, scores, groups, 0.5)[:30].numpy()
    np.testing.assert_array_equal(indices[0, : num[0]], candidates[kept])


_GROWTH = """
import resource, sys
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
feed = dict(np.load(sys.argv[2]))
session.run(None, {name: value if value.shape[1:] == (1,) else value[:, :2000] for name, value in feed.items()})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
session.run(None, feed)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000)
"""


def test_nms_of_470_000_candidates_takes_little_memory(nms_model, tmp_path):
    """LVIS at its own low threshold; a matrix of classes and candidates would take 2 GB."""
    onnx.save(nms_model, tmp_path / "nms.onnx")
    feed = _many_classes(np.random.default_rng(0), 1000, 1203)
    np.savez(tmp_path / "feed.npz", **feed, score=np.float32([[0.61]]))
    command = [sys.executable, "-c", _GROWTH, str(tmp_path / "nms.onnx"), str(tmp_path / "feed.npz")]
    megabytes = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert megabytes < 100
