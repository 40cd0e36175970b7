import numpy as np
import pytest

from maskrt.shapes.outlines import CLASS_NAMES
from maskrt.shapes.scenes import MIN_VISIBLE_PIXELS, generate_scene


@pytest.fixture(scope="module")
def scenes():
    return [generate_scene(number, split) for number in range(60) for split in ("train", "test")]


def test_masks_are_visible_disjoint_and_labelled(scenes):
    for scene in scenes:
        height, width = scene.image.shape[:2]
        assert scene.image.dtype == np.uint8
        assert scene.masks.shape == (len(scene.labels), height, width)
        assert (scene.masks.sum(axis=0) <= 1).all()
        assert (scene.masks.sum(axis=(1, 2)) >= MIN_VISIBLE_PIXELS).all()
        assert scene.labels.min() >= 1
        assert scene.labels.max() < len(CLASS_NAMES)


def test_scenes_vary_in_number_size_shape_and_class(scenes):
    counts = {len(scene.labels) for scene in scenes}
    assert min(counts) <= 2
    assert max(counts) >= 10
    assert {label for scene in scenes for label in scene.labels} == set(range(1, len(CLASS_NAMES)))
    aspect = [scene.image.shape[1] / scene.image.shape[0] for scene in scenes]
    assert min(aspect) < 0.8
    assert max(aspect) > 1.25
    areas = np.concatenate([scene.masks.sum(axis=(1, 2)) for scene in scenes])
    assert areas.max() > 20 * areas.min()


def test_same_number_same_scene_and_splits_differ():
    a, b, other = generate_scene(7, "test"), generate_scene(7, "test"), generate_scene(7, "train")
    np.testing.assert_array_equal(a.image, b.image)
    np.testing.assert_array_equal(a.masks, b.masks)
    assert a.image.shape != other.image.shape or (a.image != other.image).any()


def test_a_shape_is_seen_in_the_picture():
    """A mask's pixels differ from the ring around it more than noise would make them."""
    contrast = []
    for number in range(20):
        scene = generate_scene(number, "train")
        for mask in scene.masks:
            inside = scene.image[mask].mean(axis=0)
            contrast.append(np.abs(inside - scene.image[~scene.masks.any(axis=0)].mean(axis=0)).max())
    assert np.median(contrast) > 25
