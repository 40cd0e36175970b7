"""The spec's own inference against what detectron2 and mmdetection gave."""

import numpy as np
import pytest
import torch

from maskrt.export.families.base import load_source
from maskrt.options import Thresholds

from ...support.reference_models import source_options
from ...support.references import NAMES, picture, reference_model

FAST = ("d2_mask_rcnn_R_50_FPN", "d2_mask_rcnn_R_50_C4", "mm_mask-rcnn_r50_fpn", "mm_faster-rcnn_r50_fpn")


def _masks(golden: dict[str, np.ndarray]) -> np.ndarray:
    from pycocotools import mask as coco_mask

    size = [int(side) for side in golden["rle_size"]]
    masks = [coco_mask.decode({"size": size, "counts": bytes(counts)}) for counts in golden["rle_counts"]]
    return np.array(masks, dtype=bool).reshape(-1, *size)


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in NAMES])
def test_detections_are_those_of_the_framework(name, tmp_path):
    model = reference_model(name)
    reference = load_source(source_options(model, tmp_path)).reference()
    for shown in model.pictures():
        golden = model.golden(shown)
        canvas = reference.preprocess([picture(shown)])
        assert tuple(canvas.image_sizes[0]) == tuple(golden["network_size"])
        assert tuple(canvas.tensors.shape[-2:]) == tuple(golden["padded_size"])
        (inside,) = found = reference.infer(canvas)
        (outside,) = reference.postprocess(found, canvas)
        np.testing.assert_array_equal(outside.labels.numpy() - 1, golden["classes"])
        np.testing.assert_allclose(outside.scores.numpy(), golden["scores"], atol=1e-4)
        np.testing.assert_allclose(outside.boxes.numpy(), golden["boxes"], atol=5e-3)
        if "mask_probs" in golden:
            np.testing.assert_allclose(inside.mask_probabilities.numpy(), golden["mask_probs"], atol=1e-4)
        if "rle_counts" in golden:
            different = (outside.masks.numpy() != _masks(golden)).sum(axis=(1, 2))
            assert different.max(initial=0) <= 2
        else:
            assert outside.masks is None


def test_a_batch_is_padded_to_the_largest_and_gives_what_each_picture_gives(tmp_path):
    reference = load_source(source_options(reference_model("d2_mask_rcnn_R_50_FPN"), tmp_path)).reference()
    pictures = [picture("scene")[:160, :120], picture("chelsea")[:120, :200]]
    canvas = reference.preprocess(pictures)
    assert [tuple(size) for size in canvas.image_sizes] == [(1067, 800), (800, 1333)]
    assert tuple(canvas.tensors.shape) == (2, 3, 1088, 1344)
    assert float(canvas.tensors[0, :, 1067:].abs().max()) == float(canvas.tensors[0, :, :, 800:].abs().max()) == 0
    together = reference.infer(canvas)
    for found, one in zip(together, pictures, strict=True):
        (alone,) = reference.infer(reference.preprocess([one]))
        assert found.labels.tolist() == alone.labels.tolist()
        torch.testing.assert_close(found.boxes, alone.boxes, atol=0.01, rtol=0)


def test_thresholds_take_the_place_of_the_models(tmp_path):
    reference = load_source(source_options(reference_model("d2_cls_agnostic_bbox"), tmp_path)).reference()
    canvas = reference.preprocess([picture("scene")])
    (own,), (few,) = reference.infer(canvas), reference.infer(canvas, Thresholds(score=0.5, nms=0.1))
    assert 0 < len(few) < len(own)
    assert float(few.scores.min()) > 0.5
    assert float(own.scores.min()) < 0.5


def test_a_trace_has_the_poolings_of_boxes_and_masks(tmp_path):
    source = load_source(source_options(reference_model("d2_mask_rcnn_R_50_FPN"), tmp_path))
    reference = source.reference()
    levels = reference.canvas_levels(picture("scene"))
    size = reference.preprocess([picture("scene")]).image_sizes[0]
    trace = reference.trace(levels, size, ["backbone.fpn_output5", "roi_heads.mask_head.predictor"])
    proposals, boxes = trace.poolings
    assert proposals.features.shape == (1000, 32, 7, 7)
    assert boxes.features.shape == (54, 32, 14, 14)
    np.testing.assert_allclose(
        boxes.rois, reference_model("d2_mask_rcnn_R_50_FPN").golden("scene")["boxes_network"], atol=5e-3
    )
    assert trace.outputs["backbone.fpn_output5"][0].shape[1] == 32
    assert trace.outputs["roi_heads.mask_head.predictor"][0].shape == (54, 5, 28, 28)
