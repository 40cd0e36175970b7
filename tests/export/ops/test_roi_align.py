"""The function in ONNX Runtime against the eager operator, which is torchvision's."""

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from maskrt.export.ops.roi_align import multilevel_roi_align, multilevel_roi_align_function


@pytest.mark.parametrize("levels", [1, 2, 4])
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_the_function_equals_the_eager_operator(run_operator, levels, aligned, sampling_ratio):
    scales, thresholds = [0.25, 0.125, 0.0625, 0.03125][:levels], [112.0, 224.0, 448.0][: levels - 1]
    several_levels = {"level_thresholds": thresholds} if thresholds else {}
    value = helper.make_tensor_value_info
    inputs = [value("rois", TensorProto.FLOAT, ["B", "R", 4])]
    inputs += [value(f"feature_{i}", TensorProto.FLOAT, ["B", 3, f"h{i}", f"w{i}"]) for i in range(levels)]
    outputs = [value("output", TensorProto.FLOAT, ["BR", 3, 7, 5])]
    session = run_operator(
        multilevel_roi_align_function(levels),
        inputs,
        outputs,
        output_height=7,
        output_width=5,
        sampling_ratio=sampling_ratio,
        coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
        mode="avg",
        scales=scales,
        **several_levels,
    )
    rng = np.random.default_rng()
    for batch, count in ((1, 1), (2, 17), (3, 40)):
        features = [rng.standard_normal((batch, 3, int(512 * s), int(640 * s))).astype(np.float32) for s in scales]
        corner = rng.uniform(0, 500, (batch, count, 2))
        size = np.exp(rng.uniform(-1, 6.2, (batch, count, 2)))
        rois = np.concatenate([corner, np.minimum(corner + size, 640)], axis=2).astype(np.float32)
        rois[0, 0] = 0  # what pads a short list of proposals
        (output,) = session.run(None, {"rois": rois, **{f"feature_{i}": f for i, f in enumerate(features)}})
        expected = multilevel_roi_align(
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


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize(("mode", "sampling_ratio"), [("max", 1), ("max", 2), ("max", 3), ("avg", 0), ("avg", 2)])
def test_the_function_with_maxima_equals_the_eager_operator(run_operator, aligned, mode, sampling_ratio):
    """And nodes of mode "avg" in the same file."""
    window = sampling_ratio if mode == "max" else 1
    scales, thresholds = [0.25, 0.125], [112.0]
    value = helper.make_tensor_value_info
    inputs = [value("rois", TensorProto.FLOAT, ["B", "R", 4])]
    inputs += [value(f"feature_{i}", TensorProto.FLOAT, ["B", 3, f"h{i}", f"w{i}"]) for i in range(2)]
    session = run_operator(
        multilevel_roi_align_function(2, maxima=True),
        inputs,
        [value("output", TensorProto.FLOAT, ["BR", 3, 7, 5])],
        output_height=7,
        output_width=5,
        sampling_ratio=sampling_ratio,
        coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
        mode=mode,
        scales=scales,
        level_thresholds=thresholds,
        sampled_height=7 * window,
        sampled_width=5 * window,
        samples=1 if mode == "max" else sampling_ratio,
        window=[window, window],
    )
    rng = np.random.default_rng(sampling_ratio)
    features = [rng.standard_normal((2, 3, int(512 * s), int(640 * s))).astype(np.float32) for s in scales]
    corner = rng.uniform(-20, 500, (2, 30, 2))
    rois = np.concatenate([corner, corner + np.exp(rng.uniform(-1, 6.2, (2, 30, 2)))], axis=2).astype(np.float32)
    rois[0, 0] = 0
    (output,) = session.run(None, {"rois": rois, **{f"feature_{i}": f for i, f in enumerate(features)}})
    tensors = torch.from_numpy(rois), [torch.from_numpy(f) for f in features]
    expected = multilevel_roi_align(*tensors, 7, 5, sampling_ratio, aligned, scales, thresholds, mode)
    np.testing.assert_allclose(output, expected, atol=1e-5)
