"""The stages of the reference, put together, against torchvision's `forward`."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from torch import Tensor, nn

from maskrt.export.families.base import describe_model
from maskrt.export.reference import Canvas, Reference
from maskrt.options import Thresholds
from maskrt.shapes.scenes import generate_scene


@pytest.fixture(scope="module")
def reference(shapes_model: nn.Module) -> Reference:
    return describe_model(shapes_model).reference()


@torch.inference_mode()
def forward(model: nn.Module, pictures: list[np.ndarray]) -> list[dict[str, Tensor]]:
    return model([torch.from_numpy(picture).permute(2, 0, 1).float() / 255 for picture in pictures])


def test_stages_equal_forward(
    reference: Reference, shapes_model: nn.Module, photographs: dict[str, np.ndarray]
) -> None:
    pictures = [photographs["coffee"], photographs["astronaut"]]
    canvas = reference.preprocess(pictures)
    found = reference.postprocess(reference.infer(canvas), canvas)
    for ours, theirs in zip(found, forward(shapes_model, pictures), strict=True):
        assert len(ours) > 0
        assert ours.masks is not None
        assert torch.equal(ours.boxes, theirs["boxes"])
        assert torch.equal(ours.scores, theirs["scores"])
        assert torch.equal(ours.labels, theirs["labels"])
        assert torch.equal(ours.masks, theirs["masks"][:, 0] > 0.5)


def test_thresholds_equal_a_model_built_with_them(reference: Reference, shapes_model: nn.Module) -> None:
    """And the model has its own again afterwards."""
    picture = generate_scene(2, "test").image
    other: Any = copy.deepcopy(shapes_model)
    other.roi_heads.score_thresh, other.roi_heads.nms_thresh = 0.5, 0.3
    (expected,) = forward(other, [picture])
    canvas = reference.preprocess([picture])
    (found,) = reference.infer(canvas, Thresholds(score=0.5, nms=0.3))
    assert torch.equal(found.scores, expected["scores"])
    (own,) = forward(shapes_model, [picture])
    assert len(own["scores"]) > len(found) > 0
    assert torch.equal(reference.infer(canvas)[0].scores, own["scores"])


def test_records_are_what_forward_finds(reference: Reference, shapes_model: nn.Module) -> None:
    picture = generate_scene(5, "test").image
    (expected,) = forward(shapes_model, [picture])
    records = reference.records(picture, image_id=7)
    assert [record["score"] for record in records] == expected["scores"].tolist()
    assert [record["category_id"] for record in records] == expected["labels"].tolist()
    for record, box, mask in zip(records, expected["boxes"].tolist(), expected["masks"], strict=True):
        x, y, width, height = record["bbox"]
        assert [x, y, x + width, y + height] == pytest.approx(box, rel=1e-6)
        assert record["image_id"] == 7
        np.testing.assert_array_equal(coco_mask.decode(record["segmentation"]), mask[0].numpy() > 0.5)


def test_pasting_one_by_one_equals_postprocessing(reference: Reference) -> None:
    picture = generate_scene(5, "test").image
    canvas = reference.preprocess([picture])
    (found,) = reference.infer(canvas)
    (pasted,) = reference.postprocess([found], canvas)
    assert found.mask_probabilities is not None
    assert pasted.masks is not None
    masks = list(reference.paste(found.mask_probabilities, pasted.boxes, (picture.shape[0], picture.shape[1])))
    np.testing.assert_array_equal(np.stack(masks), pasted.masks)


def test_canvas_levels_are_the_resized_picture(reference: Reference) -> None:
    """A picture of the model's own size is not resized: only the rounding of the normalisation is left."""
    height, width = 320, 333
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    levels = reference.canvas_levels(picture)
    assert levels.shape == (1, 320, 352, 3)
    np.testing.assert_allclose(levels[0, :height, :width], picture, atol=1e-3)
    assert not levels[0, height:].any()
    assert not levels[0, :, width:].any()


def test_trace_gives_what_the_heads_saw(reference: Reference, shapes_model: nn.Module) -> None:
    """Proposals and boxes, and outputs of layers behind their normalisation, of a picture on its canvas."""
    picture = generate_scene(4, "test").image
    canvas = reference.preprocess([picture])
    levels = reference.canvas_levels(picture)
    trace = reference.trace(levels, canvas.image_sizes[0], {"backbone.body.conv1", "rpn.head.cls_logits"})
    of_boxes, of_masks = trace.poolings
    (found,) = reference.infer(canvas)
    np.testing.assert_allclose(of_masks.rois, found.boxes, atol=1e-2)
    assert of_boxes.rois.shape == (256, 4)
    assert of_boxes.features.shape == (256, 128, 7, 7)
    assert of_masks.features.shape == (len(found), 128, 14, 14)
    assert [len(trace.outputs[name]) for name in sorted(trace.outputs)] == [1, 5]
    body: Any = shapes_model.get_submodule("backbone.body")
    with torch.inference_mode():
        expected = body.bn1(body.conv1(canvas.tensors))
    np.testing.assert_allclose(trace.outputs["backbone.body.conv1"][0], expected, atol=1e-3)


def test_compiled_means_every_layer_with_weights_and_fp16_in_a_copy(
    shapes_model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without compiling, which takes a minute."""
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda module: compiled.append(module))
    reference = describe_model(shapes_model).reference(compiled=True)
    layers = [weight for module in compiled for weight in module.parameters()]
    assert len({id(weight) for weight in layers}) == len(list(shapes_model.parameters()))
    assert not {id(weight) for weight in layers} & {id(weight) for weight in shapes_model.parameters()}
    types: list[torch.dtype] = []
    compiled[-1].register_forward_hook(lambda module, inputs, output: types.append(output.dtype))
    (found,) = reference.infer(Canvas(torch.zeros(1, 3, 64, 64), [(64, 64)], [(64, 64)]), Thresholds(score=0.0))
    assert len(found) > 0
    assert types == [torch.float16]


def test_a_detector_without_masks() -> None:
    from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

    torch.manual_seed(0)
    detector = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None).eval()
    reference = describe_model(detector).reference()
    picture = generate_scene(2, "test").image
    records = reference.records(picture, Thresholds(score=0.0))
    assert len(records) == 100
    assert not any("segmentation" in record for record in records)
    canvas = reference.preprocess([picture])
    trace = reference.trace(reference.canvas_levels(picture), canvas.image_sizes[0], set())
    assert len(trace.poolings) == 1
