import numpy as np

from maskrt.shapes.extreme_points import KEYPOINT_NAMES, extreme_points


def test_extreme_points_by_hand():
    """A rectangle, of whose sides it is the middles, and a single pixel."""
    masks = np.zeros((2, 10, 12), bool)
    masks[0, 2:5, 3:9] = True
    masks[1, 7, 11] = True
    found = extreme_points(masks)
    assert found.dtype == np.float32
    assert len(KEYPOINT_NAMES) == found.shape[1]
    np.testing.assert_array_equal(found[0, :, :2], [[3.5, 3.5], [6, 2.5], [8.5, 3.5], [6, 4.5]])
    np.testing.assert_array_equal(found[1], [[11.5, 7.5, 2]] * 4)


def test_no_masks_have_no_points():
    assert extreme_points(np.zeros((0, 4, 4), bool)).shape == (0, 4, 3)
