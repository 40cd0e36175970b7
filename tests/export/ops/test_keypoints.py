"""The function in ONNX Runtime against the eager operator, which is torchvision's and detectron2's arithmetic."""

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from maskrt.export.ops.keypoints import decode_keypoints, decode_keypoints_function


def smooth_heatmaps(rng: np.random.Generator, rois: int, keypoints: int, rows: int, columns: int) -> np.ndarray:
    """Logits with hills, whose maximum is unique: `[rois, keypoints, rows, columns]`."""
    coarse = torch.from_numpy(rng.standard_normal((rois, keypoints, 7, 7)).astype(np.float32)) * 4
    maps = torch.nn.functional.interpolate(coarse, size=(rows, columns), mode="bicubic").numpy()
    return maps + rng.standard_normal(maps.shape).astype(np.float32) * 0.1


def random_boxes(rng: np.random.Generator, batch: int, count: int) -> np.ndarray:
    """`[batch, count, 4]`, sides from a part of a pixel to 400, one without area and one of what pads detections."""
    corner = rng.uniform(0, 500, (batch, count, 2))
    boxes = np.concatenate([corner, corner + np.exp(rng.uniform(-1, 6, (batch, count, 2)))], axis=2)
    boxes[:, -1] = 0
    boxes[:, 0, 2:] = boxes[:, 0, :2]
    return boxes.astype(np.float32)


@pytest.mark.parametrize("normalized", [False, True])
def test_the_function_equals_the_eager_operator(run_operator, normalized):
    value = helper.make_tensor_value_info
    inputs = [
        value("boxes", TensorProto.FLOAT, ["B", "K", 4]),
        value("heatmaps", TensorProto.FLOAT, ["R", "N", "H", "W"]),
    ]
    outputs = [value("keypoints", TensorProto.FLOAT, ["B", "K", "N", 3])]
    session = run_operator(decode_keypoints_function(), inputs, outputs, normalized=int(normalized))
    rng = np.random.default_rng(3)
    for batch, count, keypoints, rows, columns in ((1, 8, 1, 56, 56), (2, 6, 5, 28, 40), (3, 1, 17, 14, 14)):
        boxes = random_boxes(rng, batch, count)
        heatmaps = smooth_heatmaps(rng, batch * count, keypoints, rows, columns)
        (found,) = session.run(None, {"boxes": boxes, "heatmaps": heatmaps})
        expected = decode_keypoints(torch.from_numpy(boxes), torch.from_numpy(heatmaps), normalized).numpy()
        assert found.shape == (batch, count, keypoints, 3)
        np.testing.assert_allclose(found[..., :2], expected[..., :2], atol=1e-3)
        np.testing.assert_allclose(found[..., 2], expected[..., 2], atol=1e-5, rtol=1e-5)


def test_a_flat_heatmap_has_its_maximum_at_the_first_pixel(run_operator):
    boxes = torch.tensor([[[10.0, 20.0, 13.5, 22.0]]])
    expected = decode_keypoints(boxes, torch.zeros(1, 2, 56, 56), normalized=True)
    np.testing.assert_allclose(expected, [[[[10 + 0.5 * 3.5 / 4, 20.5, 1 / 56**2]] * 2]], rtol=1e-6)
