import numpy as np
import torch
from torchvision.models.detection.transform import resize_boxes as torchvision_resize_boxes

from maskrt.runtime.transforms.boxes import clip, have_area, resize_boxes, resize_boxes_by_division


def test_resize_equals_torchvision_to_the_bit(rng: np.random.Generator) -> None:
    for _ in range(50):
        sizes = rng.integers(1, 8000, (2, 2)).tolist()
        boxes = rng.uniform(-10, 1400, (20, 4)).astype(np.float32)
        expected = torchvision_resize_boxes(torch.from_numpy(boxes), *sizes).numpy()
        scaled = resize_boxes(boxes, *sizes)
        assert scaled.dtype == np.float32
        np.testing.assert_array_equal(scaled, expected)


def test_division_by_the_scale_factor(rng: np.random.Generator) -> None:
    """mmdetection: `boxes / boxes.new_tensor(scale_factor)`, whose scale factors are float64 quotients."""
    for _ in range(50):
        (height, width), (new_height, new_width) = sizes = rng.integers(1, 8000, (2, 2)).tolist()
        boxes = rng.uniform(-10, 1400, (20, 4)).astype(np.float32)
        factors = torch.tensor([width / new_width, height / new_height] * 2)
        scaled = resize_boxes_by_division(boxes, *sizes)
        assert scaled.dtype == np.float32
        np.testing.assert_array_equal(scaled, (torch.from_numpy(boxes) / factors).numpy())


def test_clip_and_area() -> None:
    boxes = np.array(
        [[-5, -1, 3, 4], [10, 20, 70, 90], [60, 0, 80, 10], [1, 50, 4, 51], [2, 2, 2, 9], [5, 5, 4, 9]], np.float32
    )
    clipped = clip(boxes, (50, 60))
    expected = [[0, 0, 3, 4], [10, 20, 60, 50], [60, 0, 60, 10], [1, 50, 4, 50], [2, 2, 2, 9], [5, 5, 4, 9]]
    assert clipped.dtype == np.float32
    np.testing.assert_array_equal(clipped, np.array(expected, np.float32))
    assert have_area(clipped).tolist() == [True, True, False, False, False, False]
    assert have_area(boxes).tolist() == [True, True, True, True, False, False]
