"""What becomes of detections in two or more tiles, case by case."""

import numpy as np

from maskrt.runtime.masks.runs import area, union
from maskrt.runtime.tiling.merge import Merged, Tile, TileDetections, merge

HEIGHT, WIDTH = 200, 400
# Two tiles that share the columns 150 to 250.
TILES = [Tile(0, 0, 250, 200), Tile(150, 0, 400, 200)]


def runs_of_box(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    return np.arange(left, right)[:, None] * HEIGHT + np.array([top, bottom])


def merge_boxes(*boxes: tuple[int, tuple[int, int, int, int], float, int], tiles: list[Tile] = TILES) -> Merged:
    """Merges filled boxes, each (tile, (left, top, right, bottom), score, label)."""
    numbers, corners, scores, labels = zip(*boxes, strict=True)
    detections = TileDetections(
        np.array(corners, dtype=np.float32),
        np.array(scores, dtype=np.float32),
        np.array(labels, dtype=np.int32),
        np.array(numbers),
        [runs_of_box(*box) for box in corners],
    )
    return merge(detections, tiles, (HEIGHT, WIDTH))


def mirror(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Left and right change places, and so do the two tiles."""
    left, top, right, bottom = box
    return WIDTH - right, top, WIDTH - left, bottom


def merge_both_ways(first: list[tuple[int, int, int, int]], second: list[tuple[int, int, int, int]]) -> list[list[int]]:
    """The boxes that come of sure detections in one tile and less sure ones in the other, whichever lies left."""
    found = merge_boxes(*((0, box, 0.9, 1) for box in first), *((1, box, 0.8, 1) for box in second))
    mirrored = merge_boxes(*((0, mirror(box), 0.8, 1) for box in second), *((1, mirror(box), 0.9, 1) for box in first))
    assert sorted(boxes_of(found)) == sorted([*mirror((x1, y1, x2, y2))] for x1, y1, x2, y2 in boxes_of(mirrored))
    return sorted(boxes_of(found))


def boxes_of(merged: Merged) -> list[list[int]]:
    return merged.boxes.astype(int).tolist()


def test_two_halves_become_one() -> None:
    merged = merge_boxes((0, (100, 50, 250, 90), 0.6, 1), (1, (150, 52, 280, 90), 0.8, 1))
    assert boxes_of(merged) == [[100, 50, 280, 90]]
    np.testing.assert_allclose(merged.scores, [0.6])  # of the larger part
    both = union([runs_of_box(100, 50, 250, 90), runs_of_box(150, 52, 280, 90)])
    np.testing.assert_array_equal(merged.runs[0], both)


def test_other_classes_are_other_objects() -> None:
    merged = merge_boxes((0, (100, 50, 250, 90), 0.6, 1), (1, (150, 50, 300, 90), 0.8, 2))
    assert len(merged.boxes) == 2
    assert merged.labels.tolist() == [1, 2]


def test_parts_that_disagree_in_the_shared_region_stay_apart() -> None:
    """Two objects on both sides of the border, one above the other, that share a few rows."""
    merged = merge_boxes((0, (100, 50, 250, 90), 0.6, 1), (1, (150, 80, 300, 120), 0.8, 1))
    assert len(merged.boxes) == 2


def test_neighbours_outside_of_the_shared_region_stay_apart() -> None:
    merged = merge_boxes((0, (20, 50, 140, 90), 0.6, 1), (1, (260, 50, 350, 90), 0.8, 1))
    assert len(merged.boxes) == 2


def test_a_whole_detection_replaces_its_cut_off_twin_even_one_of_a_better_score() -> None:
    merged = merge_boxes((0, (180, 50, 250, 90), 0.9, 1), (1, (181, 52, 270, 91), 0.7, 1))
    assert boxes_of(merged) == [[181, 52, 270, 91]]
    np.testing.assert_allclose(merged.scores, [0.7])
    assert area(merged.runs[0]) == 89 * 39


def test_a_sliver_at_the_border_is_covered() -> None:
    """8 of its 10 columns belong to the whole object; within the shared region they agree by less than half."""
    assert merge_both_ways([(30, 50, 160, 100)], [(150, 60, 159, 80)]) == [[30, 50, 160, 100]]


def test_what_a_mask_has_outside_of_its_tile_needs_no_cover() -> None:
    """Masks are pasted a little beyond what their tile sees: here two columns of seven."""
    whole = (200, 40, 330, 120)
    assert boxes_of(merge_boxes((0, (245, 50, 252, 80), 0.6, 1), (1, whole, 0.8, 1))) == [list(whole)]


def test_an_object_in_front_of_a_larger_one_of_its_class_stays_an_object_of_its_own() -> None:
    """What the second tile sees of the smaller one lies in what the first sees of the larger one, and they agree."""
    small, large = (120, 50, 200, 90), (80, 46, 205, 106)
    found = merge_both_ways([small, large], [(150, 50, 200, 90), (150, 46, 205, 106)])
    assert found == [list(large), list(small)]


def test_an_object_in_front_of_a_larger_one_that_only_one_tile_sees_stays_too() -> None:
    small, large = (165, 60, 200, 80), (80, 46, 205, 106)
    assert merge_both_ways([large], [(150, 46, 205, 106), small]) == [list(large), list(small)]


def test_what_a_tile_takes_for_two_comes_out_once_if_the_other_sees_one() -> None:
    whole = (100, 50, 200, 90)
    assert merge_both_ways([whole], [(150, 50, 200, 90), (157, 50, 200, 76)]) == [list(whole)]


def test_an_object_whole_in_both_tiles_comes_out_once() -> None:
    merged = merge_boxes((0, (170, 50, 220, 90), 0.8, 1), (1, (171, 51, 221, 92), 0.9, 1))
    assert boxes_of(merged) == [[171, 51, 221, 92]]


def test_the_border_of_the_image_cuts_nothing() -> None:
    """Both end at the image's top; the first is whole, and so the second, cut off on the left, is its twin."""
    merged = merge_boxes((0, (120, 0, 230, 40), 0.5, 1), (1, (150, 0, 231, 40), 0.9, 1))
    assert boxes_of(merged) == [[120, 0, 230, 40]]


def test_a_chain_over_many_tiles() -> None:
    tiles = [Tile(left, 0, left + 100, 200) for left in range(0, 301, 60)]
    parts = [(i, (max(tile.left, 20), 80, min(tile.right, 390), 100), 0.5 + i / 20, 1) for i, tile in enumerate(tiles)]
    merged = merge_boxes(*parts, tiles=tiles)
    assert boxes_of(merged) == [[20, 80, 390, 100]]
    np.testing.assert_array_equal(merged.runs[0], union([runs_of_box(20, 80, 390, 100)]))


def test_a_cross_at_the_corner_of_four_tiles() -> None:
    tiles = [Tile(left, top, left + 250, top + 120) for top in (0, 80) for left in (0, 150)]
    whole = (120, 60, 280, 140)
    parts = [
        (i, (max(t.left, 120), max(t.top, 60), min(t.right, 280), min(t.bottom, 140)), 0.9, 3)
        for i, t in enumerate(tiles)
    ]
    merged = merge_boxes(*parts, tiles=tiles)
    assert boxes_of(merged) == [list(whole)]
    assert area(merged.runs[0]) == 160 * 80


def test_nothing_found() -> None:
    empty = np.empty(0)
    merged = merge(TileDetections(np.empty((0, 4)), empty, empty, empty.astype(int), []), TILES, (HEIGHT, WIDTH))
    assert merged.boxes.shape == (0, 4)
    assert merged.scores.shape == merged.labels.shape == (0,)
    assert merged.runs == []
