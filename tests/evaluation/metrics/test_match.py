import numpy as np

from maskrt.evaluation.metrics.match import Detections, match_detections, pairwise_iou


def _detections(rng: np.random.Generator, count: int) -> Detections:
    corner, size = rng.uniform(0, 500, (count, 2)), rng.uniform(10, 80, (count, 2))
    boxes = np.concatenate([corner, corner + size], axis=1).astype(np.float32)
    return Detections(boxes, rng.random(count).astype(np.float32), rng.integers(1, 5, count))


def test_swapped_and_slightly_moved_detections_find_their_own():
    rng = np.random.default_rng()
    reference = _detections(rng, 60)
    order = rng.permutation(60)
    candidate = Detections(reference.boxes[order] + np.float32(0.01), reference.scores[order], reference.labels[order])
    matching = match_detections(reference, candidate)
    assert len(matching.pairs) == 60
    np.testing.assert_array_equal(order[matching.pairs[:, 1]], matching.pairs[:, 0])
    assert len(matching.missing) == len(matching.extra) == 0


def test_missing_extra_and_relabelled_detections_are_told():
    reference = _detections(np.random.default_rng(3), 10)
    keep = np.array([0, 1, 2, 4, 5, 6, 7, 8, 9])
    labels = reference.labels[keep].copy()
    labels[0] += 10
    candidate = Detections(reference.boxes[keep], reference.scores[keep], labels)
    matching = match_detections(reference, candidate)
    assert matching.missing.tolist() == [0, 3]
    assert matching.extra.tolist() == [0]


def test_one_candidate_serves_one_reference():
    box = np.array([[0, 0, 10, 10]], np.float32)
    twice = Detections(np.repeat(box, 2, axis=0), np.array([0.9, 0.8], np.float32), np.array([1, 1]))
    once = Detections(box, np.array([0.9], np.float32), np.array([1]))
    assert match_detections(twice, once).missing.tolist() == [1]
    assert match_detections(once, twice).extra.tolist() == [1]


def test_no_detections_on_either_side():
    none = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    some = _detections(np.random.default_rng(), 3)
    assert match_detections(none, none).pairs.shape == (0, 2)
    assert match_detections(none, some).extra.tolist() == [0, 1, 2]
    assert match_detections(some, none).missing.tolist() == [0, 1, 2]


def test_iou_by_hand():
    a = np.array([[0, 0, 2, 2], [0, 0, 0, 0]], np.float32)
    b = np.array([[1, 1, 3, 3], [0, 0, 2, 2], [5, 5, 6, 6]], np.float32)
    np.testing.assert_allclose(pairwise_iou(a, b), [[1 / 7, 1, 0], [0, 0, 0]])
