"""Batches and boxes against torchvision's GeneralizedRCNNTransform."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.models.detection.transform import resize_boxes as torchvision_resize_boxes

from maskrt.contract.pipeline import Pipeline
from maskrt.runtime.transforms.canvas import make_batch, resize_boxes, resized_size

from ...support.model_metadata import make_metadata


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


def test_sizes_equal_torchvision(rng: np.random.Generator) -> None:
    """The last bit of the scale decides whether a side is rounded down to one pixel less."""
    for min_size, max_size in ((80, 133), (64, 96), (33, 100)):
        transform = torchvision_transform(make_metadata(min_size=min_size, max_size=max_size).pipeline)
        for height, width in rng.integers(1, 1000, (150, 2)).tolist():
            if min(height, width) * max_size < max(height, width):
                continue  # torchvision fails; see below
            expected, _ = transform.resize(torch.zeros(1, 1, 1).expand(1, height, width))
            assert resized_size(height, width, min_size, max_size) == tuple(expected.shape[-2:])


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (500, 333), (427, 640), (999, 1000), (1333, 800)])
def test_sizes_equal_torchvision_at_full_size(pipeline: Pipeline, size: tuple[int, int]) -> None:
    expected, _ = torchvision_transform(pipeline)([torch.zeros(3, *size)])
    assert resized_size(*size, pipeline.resize.min_size, pipeline.resize.max_size) == expected.image_sizes[0]


def test_a_side_is_never_zero(pipeline: Pipeline) -> None:
    """20000x10 would become 1333x0.67, on which torchvision fails."""
    assert resized_size(10, 20000, 800, 1333) == (1, 1333)
    assert resized_size(20000, 10, 800, 1333) == (1333, 1)
    batch = make_batch([np.full((10, 20000, 3), 7, np.uint8)], pipeline, np.dtype(np.float32))
    assert batch.canvas.shape == (1, 32, 1344, 3)
    assert (batch.canvas[0, 0, :1333] == 7).all()
    assert batch.canvas.sum() == 7 * 3 * 1333


def test_boxes_equal_torchvision_to_the_bit(rng: np.random.Generator) -> None:
    for _ in range(50):
        sizes = rng.integers(1, 8000, (2, 2)).tolist()
        boxes = rng.uniform(-10, 1400, (20, 4)).astype(np.float32)
        expected = torchvision_resize_boxes(torch.from_numpy(boxes), *sizes).numpy()
        scaled = resize_boxes(boxes, *sizes)
        assert scaled.dtype == np.float32
        np.testing.assert_array_equal(scaled, expected)
