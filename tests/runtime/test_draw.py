from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from maskrt.contract.pipeline import Paste
from maskrt.runtime import ArgumentError, Instances
from maskrt.runtime.draw import DrawOptions, draw_caption, draw_instances
from maskrt.runtime.structures.masks import GridMasks


def instances_in(height: int, width: int, boxes: list[list[float]], name: str = "disk") -> Instances:
    number = len(boxes)
    corners = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    probabilities = np.ones((number, 28, 28), dtype=np.float32)
    return Instances(
        boxes=corners,
        scores=np.linspace(0.99, 0.5, number, dtype=np.float32),
        labels=np.ones(number, dtype=np.int32),
        segmentations=GridMasks(probabilities, corners, (height, width), Paste("integer_box", 0.5)),
        class_names=("__background__", name),
        image_size=(height, width),
    )


def test_colours_the_mask_and_leaves_the_rest() -> None:
    image = np.full((300, 400, 3), 128, dtype=np.uint8)
    before = image.copy()
    overlay = draw_instances(image, instances_in(300, 400, [[100, 100, 200, 200], [250, 150, 350, 250]]), "instance")
    np.testing.assert_array_equal(image, before)
    assert overlay.shape == image.shape
    assert overlay.dtype == np.uint8
    first, second = overlay[180, 150].astype(int), overlay[230, 300].astype(int)
    assert np.abs(first - 128).max() > 30
    assert np.abs(first - second).max() > 30  # each instance its own colour
    assert (overlay[260:, :200] == 128).all()
    assert (overlay[:60] == 128).all()


def test_mask_is_translucent(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (300, 400, 3), dtype=np.uint8)
    overlay = draw_instances(image, instances_in(300, 400, [[50, 50, 350, 250]]))
    inside = np.s_[100:200, 150:300]
    correlation = np.corrcoef(image[inside].ravel(), overlay[inside].ravel())[0, 1]
    assert correlation > 0.7


def test_small_instances_lie_over_large_ones() -> None:
    image = np.zeros((300, 400, 3), dtype=np.uint8)
    boxes = [[150.0, 120.0, 200.0, 170.0], [20.0, 20.0, 380.0, 280.0]]
    both = draw_instances(image, instances_in(300, 400, boxes), "instance")
    swapped = draw_instances(image, instances_in(300, 400, boxes[::-1]), "instance")
    for overlay in (both, swapped):
        assert np.abs(overlay[145, 175].astype(int) - overlay[250, 100]).max() > 20


def test_labels_do_not_cover_each_other() -> None:
    """Four tiny instances at one place: without avoidance only the last plate would be readable."""
    image = np.zeros((480, 640, 3), dtype=np.uint8)
    one, four = (
        np.count_nonzero(draw_instances(image, instances_in(480, 640, [[300, 200, 302, 202]] * number)).any(axis=2))
        for number in (1, 4)
    )
    assert one > 500
    assert four > 3 * one


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 3), (20, 20), (1080, 1920)])
@pytest.mark.parametrize("with_masks", [True, False])
def test_any_image_size(size: tuple[int, int], with_masks: bool) -> None:
    height, width = size
    boxes = [
        [0, 0, width, height],
        [-5, -5, width + 5, height + 5],
        [0, 0, 0, 0],
        [width - 1, height - 1] * 2,
        [-1e30, -1e10, 1e30, 1e10],
    ]
    instances = instances_in(height, width, boxes, name="a rather long class name größe")  # type: ignore[arg-type]
    if not with_masks:
        instances = replace(instances, segmentations=None)
    overlay = draw_instances(np.zeros((height, width, 3), np.uint8), instances)
    assert overlay.shape == (height, width, 3)
    assert overlay.any()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((40, 30, 3), np.uint8), "of an image of 40x30 pixels, but the one to draw over has 30x40"),
        (np.zeros((30, 40), np.uint8), r"got shape \[30, 40\]"),
        (np.zeros((30, 40, 3), np.float32), "got float32"),
        (None, "got NoneType"),
    ],
)
def test_another_image_than_the_one_segmented(image: np.ndarray, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        draw_instances(image, instances_in(30, 40, [[0, 0, 20, 20]]))


def test_no_instances_gives_the_image(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(draw_instances(image, instances_in(30, 40, [])), image)


def test_an_object_keeps_its_colour() -> None:
    image = np.zeros((300, 400, 3), dtype=np.uint8)
    boxes = [[20.0, 100.0, 120.0, 200.0], [250.0, 100.0, 350.0, 200.0]]
    both = draw_instances(image, instances_in(300, 400, boxes), "instance")
    for colors, same in (([1], True), ([17], True), ([0], False)):
        alone = draw_instances(image, instances_in(300, 400, boxes[1:]), colors)
        assert (alone[150, 300] == both[150, 300]).all() == same


@pytest.mark.parametrize(("height", "width"), [(300, 400), (1080, 1920), (8, 8), (1, 1)])
def test_caption_in_the_upper_left_corner(height: int, width: int) -> None:
    image = np.full((height, width, 3), 128, dtype=np.uint8)
    draw_caption(image, "12.5 frames/s")
    assert (image[0, 0] < 60).all()
    assert (image[height // 2 + 4 :] == 128).all()
    if width > 100:
        corner = image[: height // 8, : width // 2]
        assert (corner == 255).all(axis=2).any()  # letters
        assert (image[:, width * 3 // 4 :] == 128).all()


def test_a_class_keeps_its_colour_from_picture_to_picture() -> None:
    image = np.zeros((300, 400, 3), dtype=np.uint8)
    boxes = [[20.0, 100.0, 120.0, 200.0], [250.0, 100.0, 350.0, 200.0]]
    both = draw_instances(image, instances_in(300, 400, boxes))
    assert (both[180, 70] == both[180, 300]).all()
    alone = draw_instances(image, instances_in(300, 400, boxes[1:]))
    assert (alone[180, 300] == both[180, 300]).all()
    other = replace(instances_in(300, 400, boxes[1:]), labels=np.array([2], np.int32), class_names=("", "a", "b"))
    assert (draw_instances(image, other)[180, 300] != both[180, 300]).any()


def test_options() -> None:
    image = np.zeros((300, 400, 3), dtype=np.uint8)
    found = instances_in(300, 400, [[100.0, 100.0, 200.0, 200.0], [250.0, 150.0, 350.0, 250.0]])
    plain = draw_instances(image, found)
    drawn = {
        options: draw_instances(image, found, options=options)
        for options in (
            DrawOptions(labels=False),
            DrawOptions(boxes=True, thickness=9),
            DrawOptions(thickness=9),
            DrawOptions(score_threshold=0.6),
            DrawOptions(colors="instance"),
        )
    }
    assert all((one != plain).any() for one in drawn.values())
    assert drawn[DrawOptions(labels=False)].any(axis=2).sum() < plain.any(axis=2).sum()
    assert not drawn[DrawOptions(score_threshold=0.6)][150:, 250:].any()
    assert (draw_instances(image, found, options=DrawOptions(score_threshold=0.99))[:, :240] == plain[:, :240]).all()


@pytest.mark.parametrize(
    "values", [{"colors": "rainbow"}, {"thickness": 0}, {"thickness": "2"}, {"score_threshold": 2}], ids=str
)
def test_options_that_make_no_sense(values: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(values))):
        DrawOptions(**values)


def test_plates_do_not_cover_small_objects() -> None:
    """A small object above another one, where that one's plate would lie."""
    image = np.zeros((480, 640, 3), dtype=np.uint8)
    small = [300.0, 180.0, 312.0, 192.0]
    found = instances_in(480, 640, [[300.0, 195.0, 420.0, 300.0], small])
    alone = draw_instances(image, instances_in(480, 640, [[300.0, 195.0, 420.0, 300.0]]))
    both = draw_instances(image, found)
    assert alone[181:191, 302:310].any()  # the plate is there
    assert len(np.unique(both[183:189, 303:309].reshape(-1, 3), axis=0)) == 1  # now the object, in one colour
