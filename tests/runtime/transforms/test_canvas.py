"""Batches and boxes against torchvision's GeneralizedRCNNTransform, and what the other frameworks gave."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from maskrt.contract.pipeline import Boxes, Pipeline, Resize
from maskrt.runtime.transforms.canvas import boxes_back, join_batches, make_batch

from ...support.model_metadata import make_metadata
from ...support.pipelines import pipeline_of
from ...support.references import NAMES, picture, reference_model


@pytest.fixture
def pipeline() -> Pipeline:
    return make_metadata(min_size=800, max_size=1333).pipeline


def torchvision_transform(pipeline: Pipeline) -> GeneralizedRCNNTransform:
    """Without normalisation, which is part of the model file."""
    transform = GeneralizedRCNNTransform(
        pipeline.resize.min_size, pipeline.resize.max_size, [0.0] * 3, [1.0] * 3, pipeline.size_divisor
    )
    return transform.eval()


def planes(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1).float().contiguous()


@pytest.mark.parametrize(("min_size", "max_size", "size_divisor"), [(800, 1333, 32), (320, 640, 32), (256, 256, 64)])
def test_batches_equal_torchvision(
    rng: np.random.Generator, pipeline: Pipeline, min_size: int, max_size: int, size_divisor: int
) -> None:
    resize = replace(pipeline.resize, min_size=min_size, max_size=max_size)
    pipeline = replace(pipeline, resize=resize, size_divisor=size_divisor)
    transform = torchvision_transform(pipeline)
    for number in (1, 3):
        sizes = rng.integers(30, 900, (number, 2))
        images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
        expected, _ = transform([planes(image) for image in images])
        batch = make_batch(images, pipeline, np.dtype(np.float32))
        canvas = expected.tensors.permute(0, 2, 3, 1).numpy()
        assert batch.canvas.shape == canvas.shape
        assert batch.canvas.dtype == np.float32
        assert np.abs(batch.canvas - canvas).max() < 1e-4
        assert [tuple(size) for size in batch.image_sizes.tolist()] == expected.image_sizes
        assert batch.image_sizes.dtype == np.int32
        assert batch.original_sizes == [tuple(size) for size in sizes.tolist()]

        rounded = make_batch(images, pipeline, np.dtype(np.uint8))
        assert rounded.canvas.dtype == np.uint8
        assert np.abs(rounded.canvas - canvas).max() <= 1


def test_a_side_is_never_zero(pipeline: Pipeline) -> None:
    """20000x10 would become 1333x0.67, on which torchvision fails."""
    batch = make_batch([np.full((10, 20000, 3), 7, np.uint8)], pipeline, np.dtype(np.float32))
    assert batch.canvas.shape == (1, 32, 1344, 3)
    assert (batch.canvas[0, 0, :1333] == 7).all()
    assert batch.canvas.sum() == 7 * 3 * 1333


@pytest.mark.parametrize(
    ("framework", "sha256"),
    [
        ("detectron2", "ff2a37c9944ce31e26408a8bb928dc2b108a0c02bf3e5303f2b494c42ca7d9c2"),
        ("mmdet", "d7d667456666a385e7e5b7af279c1ced56447c7d79fec2bf6e318da8f4d8846e"),
    ],
)
def test_canvas_equals_the_framework(framework: str, sha256: str, photographs: dict[str, np.ndarray]) -> None:
    """To the bit, for both types of canvas: what the frameworks round is rounded. The hashes are of their pixels."""
    pipeline = pipeline_of(framework)
    batch = make_batch([photographs["astronaut"]], pipeline, np.dtype(np.uint8))
    assert batch.canvas.shape == (1, 800, 800, 3)
    assert hashlib.sha256(batch.canvas.tobytes()).hexdigest() == sha256
    exact = make_batch([photographs["astronaut"]], pipeline, np.dtype(np.float32))
    np.testing.assert_array_equal(exact.canvas, batch.canvas)


@pytest.mark.parametrize("name", NAMES)
def test_boxes_equal_the_framework(name: str) -> None:
    model = reference_model(name)
    for picture_name in model.pictures():
        golden = model.golden(picture_name)
        if "boxes_network" not in golden:
            continue
        height, width = picture(picture_name).shape[:2]
        pipeline = pipeline_of(model.framework)
        boxes, kept = boxes_back(golden["boxes_network"], golden["network_size"], (height, width), pipeline)
        assert boxes.dtype == np.float32
        np.testing.assert_array_equal(boxes[kept], golden["boxes"])


def test_empty_boxes_are_dropped(pipeline: Pipeline) -> None:
    """Once they have been cut at the border."""
    boxes = np.array([[10, 10, 20, 20], [900, 5, 950, 30], [5, 5, 5, 9]], np.float32)
    for clip, drop, expected in (
        (True, True, [True, False, False]),
        (False, True, [True, True, False]),
        (True, False, [True, True, True]),
    ):
        policy = replace(pipeline, boxes=Boxes(clip, drop))
        scaled, kept = boxes_back(boxes, (800, 800), (400, 400), policy)
        assert kept.tolist() == expected
        np.testing.assert_array_equal(scaled[1], [400, 2.5, 400, 15] if clip else [450, 2.5, 475, 15])


def test_a_canvas_without_padding(rng: np.random.Generator, pipeline: Pipeline) -> None:
    """As detectron2's models without a feature pyramid take it; in a batch it is as large as its largest image."""
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((33, 47), (61, 29))]
    policy = replace(pipeline, resize=Resize("shortest_edge", "pillow_bilinear", 0, 1333), size_divisor=1)
    batch = make_batch(images, policy, np.dtype(np.uint8))
    assert batch.canvas.shape == (2, 61, 47, 3)
    for image, canvas in zip(images, batch.canvas, strict=True):
        height, width = image.shape[:2]
        np.testing.assert_array_equal(canvas[:height, :width], image)
        assert canvas.sum() == image.sum()


@pytest.mark.parametrize("resize", [True, False])
def test_batches_that_are_joined_equal_the_batch_of_all(
    rng: np.random.Generator, pipeline: Pipeline, resize: bool
) -> None:
    """Also where a backend resizes, and there is no canvas yet."""
    policy = replace(pipeline, resize=Resize("floor", "bilinear", 64, 96))
    images = [rng.integers(0, 256, (60, 90 - i, 3), dtype=np.uint8) for i in range(3)]
    whole = make_batch(images, policy, np.dtype(np.uint8), resize=resize)
    joined = join_batches([make_batch([image], policy, np.dtype(np.uint8), resize=resize) for image in images])
    assert ("canvas" in vars(joined.frames)) == resize
    assert joined.frames.shape == whole.frames.shape
    assert joined.original_sizes == whole.original_sizes
    np.testing.assert_array_equal(joined.image_sizes, whole.image_sizes)
    np.testing.assert_array_equal(joined.canvas, whole.canvas)


def test_canvases_of_other_sizes_are_not_joined(pipeline: Pipeline) -> None:
    batches = [make_batch([np.zeros((*size, 3), np.uint8)], pipeline, np.dtype(np.uint8)) for size in ((9, 9), (9, 30))]
    with pytest.raises(ValueError, match="canvases of 2 kinds cannot be joined"):
        join_batches(batches)
