"""Models of detectron2 and mmdetection against what their own frameworks gave: in PyTorch, and as a model file."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from maskrt.evaluation.metrics.coco import average_precision
from maskrt.runtime import Segmenter
from maskrt.shapes.dataset import ground_truth

from ...support.golden import (
    BOX_LIMIT,
    IDENTICAL_SHARE,
    IDENTICAL_SHARE_OF_ALL,
    IOU_LIMIT,
    KEYPOINT_LIMIT,
    PIXEL_LIMIT,
    SCORE_LIMIT,
    Row,
    compare_file,
    decode_masks,
    golden_records,
    print_table,
)
from ...support.references import ALL_NAMES, full_reference_model, picture

FAST = ("d2_mask_rcnn_R_50_C4", "mm_trained_shapes_r18_fpn")
"""Whose model files are compared in the fast tests; their frameworks differ in everything."""

_OTHER_PROPOSALS = 0.005
"""Share of proposals that may have no counterpart."""

_MOVED_SHARE = 0.005
"""Of keypoints: where the two highest places of a heatmap differ by rounding alone."""

_SCENES = 8


_MODELS = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in ALL_NAMES]
)


@pytest.fixture(scope="module")
def table() -> Iterator[list[Row]]:
    """Rows that are printed once all models have been compared, and their share of identical masks checked."""
    rows: list[Row] = []
    yield rows
    print_table(rows)


@_MODELS
def test_the_reference_finds_what_the_framework_found(load, name):
    model, reference = full_reference_model(name), load(name).reference()
    for shown in model.pictures():
        golden = model.golden(shown)
        canvas = reference.preprocess([picture(shown)])
        assert tuple(canvas.image_sizes[0]) == tuple(golden["network_size"])
        assert tuple(canvas.tensors.shape[-2:]) == tuple(golden["padded_size"])
        (inside,) = found = reference.infer(canvas)
        (outside,) = reference.postprocess(found, canvas)
        np.testing.assert_array_equal(outside.labels.numpy() - 1, golden["classes"])
        np.testing.assert_allclose(outside.scores.numpy(), golden["scores"], atol=SCORE_LIMIT)
        np.testing.assert_allclose(outside.boxes.numpy(), golden["boxes"], atol=BOX_LIMIT)
        if "mask_probs" in golden:
            assert np.abs(inside.mask_probabilities.numpy() - golden["mask_probs"]).mean() < 1e-4
        if "keypoints" in golden:
            np.testing.assert_allclose(outside.keypoints[..., 2], golden["keypoints"][..., 2], atol=SCORE_LIMIT)
            there = np.abs(outside.keypoints.numpy() - golden["keypoints"])[..., :2] <= KEYPOINT_LIMIT
            assert (~there).any(axis=-1).mean() <= _MOVED_SHARE
        if "rle_counts" in golden:
            different = (outside.masks.numpy() != decode_masks(golden)).sum(axis=(1, 2))
            assert np.median(different) == 0
        else:
            assert outside.masks is None


@_MODELS
def test_proposals_are_the_frameworks(load, name):
    """As sets: among equal scores the order is chance, and where one decides, it may decide another way."""
    model, reference = full_reference_model(name), load(name).reference()
    compared = 0
    for shown in model.pictures():
        golden = model.golden(shown)
        if "proposals" not in golden:
            continue
        levels = reference.canvas_levels(picture(shown))
        height, width = (int(side) for side in golden["network_size"])
        found = torch.from_numpy(reference.trace(levels, (height, width), ()).poolings[0].rois)
        expected = torch.from_numpy(golden["proposals"])
        distance = torch.cdist(found, expected, p=float("inf")).numpy()
        for nearest in (distance.min(axis=0), distance.min(axis=1)):
            assert (nearest > 1e-4 * max(height, width)).sum() <= _OTHER_PROPOSALS * len(nearest)
        compared += 1
    assert compared


@_MODELS
def test_the_model_file_finds_what_the_framework_found(load, reference_onnx, name, table):
    row = compare_file(full_reference_model(name), load(name).spec, reference_onnx(name))
    table.append(row)
    assert not row.wrong
    assert row.box <= BOX_LIMIT
    assert row.score <= SCORE_LIMIT
    assert row.pixels <= PIXEL_LIMIT
    assert row.iou >= IOU_LIMIT
    assert row.moved <= _MOVED_SHARE * row.keypoints
    assert row.keypoint_score <= SCORE_LIMIT
    assert row.identical >= IDENTICAL_SHARE * row.masks
    assert row.on_edge <= 0.01 * row.masks


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ALL_NAMES if "trained_shapes" in name])
def test_ap_of_the_model_file_is_that_of_the_framework(reference_onnx, name):
    """Of the two models that were trained, on the held-out scenes of which there are golden outputs."""
    model = full_reference_model(name)
    segmenter = Segmenter(reference_onnx(name), providers=["CPUExecutionProvider"])
    truth = ground_truth(_SCENES)
    ours, theirs = [], []
    for number in range(_SCENES):
        shown = f"scene{number:05d}"
        ours += segmenter.predict(picture(shown)).to_coco(number + 1)
        theirs += golden_records(model.golden(shown), number + 1)
    for kind in ("bbox", "segm"):
        found, expected = (average_precision(truth, records, kind).overall.AP for records in (ours, theirs))
        assert expected is not None and expected > 0.5
        assert found == pytest.approx(expected, abs=5e-4)


@pytest.mark.slow
def test_masks_of_all_models_are_identical_but_for_a_few(table):
    if len(table) < len(ALL_NAMES):
        pytest.skip("not all models were compared")
    assert sum(row.identical for row in table) >= IDENTICAL_SHARE_OF_ALL * sum(row.masks for row in table)
