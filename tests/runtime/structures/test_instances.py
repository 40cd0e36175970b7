import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from torchvision.models.detection.roi_heads import paste_masks_in_image

from maskrt.contract.pipeline import Paste
from maskrt.runtime import ArgumentError, DependencyError, Instances
from maskrt.runtime.structures.masks import GridMasks, RleMasks

NAMES = ("__background__", "disk", "star")


@pytest.fixture
def instances(rng: np.random.Generator) -> Instances:
    corners = rng.uniform(0, 80, (6, 2))
    boxes = np.concatenate((corners, corners + rng.uniform(1, 60, (6, 2))), axis=1).astype(np.float32)
    masks = np.stack([cv2.GaussianBlur(mask, (7, 7), 2) for mask in rng.random((6, 28, 28), np.float32)])
    return Instances(
        boxes=boxes,
        scores=np.linspace(0.9, 0.4, 6, dtype=np.float32),
        labels=np.array([1, 2, 1, 1, 2, 1], dtype=np.int32),
        segmentations=GridMasks(masks, boxes, (100, 120), Paste("integer_box", 0.5)),
        class_names=NAMES,
        image_size=(100, 120),
    )


def test_masks_and_rle_equal_torchvision(instances: Instances) -> None:
    assert instances.mask_probabilities is not None
    pasted = paste_masks_in_image(
        torch.from_numpy(instances.mask_probabilities)[:, None],
        torch.from_numpy(instances.boxes),
        instances.image_size,
    )[:, 0].numpy()
    masks = instances.masks()
    assert masks.shape == (6, 100, 120)
    assert masks.dtype == bool
    assert (np.abs(pasted[masks != (pasted > 0.5)] - 0.5) < 1e-6).all()
    for rle, mask in zip(instances.rle(), masks, strict=True):
        assert rle["size"] == [100, 120]
        np.testing.assert_array_equal(coco_mask.decode(rle), mask)


def test_length_and_indexing(instances: Instances) -> None:
    assert len(instances) == 6
    for index, expected in (
        (instances.scores > 0.65, [0, 1, 2]),
        (slice(None, None, 2), [0, 2, 4]),
        (np.array([3, 1]), [3, 1]),
        ([5], [5]),
        (-1, [5]),
        (np.int64(2), [2]),
        (np.zeros(6, dtype=bool), []),
    ):
        part = instances[index]  # type: ignore[index]
        assert isinstance(part, Instances)
        np.testing.assert_array_equal(part.boxes, instances.boxes[expected])
        np.testing.assert_array_equal(part.scores, instances.scores[expected])
        np.testing.assert_array_equal(part.labels, instances.labels[expected])
        assert part.mask_probabilities is not None
        np.testing.assert_array_equal(part.mask_probabilities, instances.mask_probabilities[expected])  # type: ignore[index]
        assert (part.class_names, part.image_size) == (NAMES, (100, 120))
    assert [len(one) for one in instances] == [1] * 6
    with pytest.raises(IndexError, match="there are 6 instances"):
        instances[6]


def test_names_and_repr(instances: Instances) -> None:
    assert instances.names == ["disk", "star", "disk", "disk", "star", "disk"]
    assert repr(instances) == "Instances(6 in 120x100 px: 4 disk, 2 star)"
    assert repr(instances[:0]) == "Instances(0 in 120x100 px)"


def test_to_coco_is_json_that_pycocotools_evaluates(instances: Instances) -> None:
    records = json.loads(json.dumps(instances.to_coco(image_id=7)))
    assert [record["image_id"] for record in records] == [7] * 6
    assert [record["category_id"] for record in records] == instances.labels.tolist()
    np.testing.assert_allclose([record["score"] for record in records], instances.scores)
    boxes = np.array([record["bbox"] for record in records])
    np.testing.assert_allclose(boxes[:, :2] + boxes[:, 2:], instances.boxes[:, 2:], rtol=1e-6)
    masks = coco_mask.decode([record["segmentation"] for record in records])
    np.testing.assert_array_equal(masks.transpose(2, 0, 1), instances.masks())


def test_without_masks(instances: Instances) -> None:
    detections = Instances(instances.boxes, instances.scores, instances.labels, None, NAMES, instances.image_size)
    for use in (detections.rle, detections.masks, detections.crops):
        with pytest.raises(ArgumentError, match="no masks"):
            use()
    assert "segmentation" not in detections.to_coco(1)[0]
    assert detections[:2].mask_probabilities is None
    assert not detections.has_masks


def test_masks_that_are_run_lengths(instances: Instances) -> None:
    """As of instances joined from tiles: there are no probabilities, and the rest is the same."""
    joined = replace(instances, segmentations=RleMasks(tuple(instances.rle())))
    assert joined.has_masks
    assert joined.mask_probabilities is None
    np.testing.assert_array_equal(joined.masks(), instances.masks())
    assert joined[2:4].to_coco(1) == instances[2:4].to_coco(1)


def test_no_instances(instances: Instances) -> None:
    none = instances[:0]
    assert none.rle() == []
    assert none.to_coco(1) == []
    assert none.masks().shape == (0, 100, 120)
    assert list(none) == []


def test_save(tmp_path: Path, instances: Instances) -> None:
    found = instances
    found.save(tmp_path / "found.json", image_id=7)
    records = json.loads((tmp_path / "found.json").read_text())
    assert [record.pop("category") for record in records] == found.names
    assert records == found.to_coco(7)
    for name, message in (("found.jpg", r"`draw\(image\)` makes a picture"), ("no/found.json", r"there is no folder")):
        with pytest.raises(ArgumentError, match=message):
            found.save(tmp_path / name)


@pytest.mark.parametrize("with_masks", [True, False])
def test_supervision_gets_the_same(instances: Instances, with_masks: bool) -> None:
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    instances = instances if with_masks else replace(instances, segmentations=None)
    detections = instances.to_supervision()
    assert isinstance(detections, supervision.Detections)
    np.testing.assert_array_equal(detections.xyxy, instances.boxes)
    np.testing.assert_array_equal(detections.confidence, instances.scores)
    np.testing.assert_array_equal(detections.class_id, instances.labels)
    assert detections.data["class_name"].tolist() == instances.names
    assert detections.tracker_id is None
    if with_masks:
        np.testing.assert_array_equal(detections.mask, instances.masks())
    else:
        assert detections.mask is None
    image = np.zeros((*instances.image_size, 3), np.uint8)
    annotator = supervision.MaskAnnotator() if with_masks else supervision.BoxAnnotator()
    assert annotator.annotate(image.copy(), detections).any()
    assert len(instances[:0].to_supervision()) == 0
    followed = replace(instances, track_ids=np.arange(len(instances), dtype=np.int32))
    assert followed.to_supervision().tracker_id.tolist() == list(range(len(instances)))


def test_without_supervision(instances: Instances, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(DependencyError, match=r"pip install maskrt\[supervision\]"):
        instances.to_supervision()


def test_polygons_filled_are_the_masks(instances: Instances) -> None:
    for parts, mask in zip(instances.polygons(), instances.masks(), strict=True):
        canvas = np.zeros(mask.shape, bool)
        if parts:
            rles = coco_mask.frPyObjects([part.reshape(-1).tolist() for part in parts], *mask.shape)
            canvas = coco_mask.decode(coco_mask.merge(rles)).astype(bool)
        np.testing.assert_array_equal(canvas, mask)
