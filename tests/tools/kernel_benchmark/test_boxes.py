"""The boxes that the kernels are timed with: as hard for NMS as a network's."""

from __future__ import annotations

import torch
from torchvision.ops import box_iou

from maskrt.tools.kernel_benchmark.boxes import clustered_boxes, clustered_detections, random_boxes

CANVAS = (800, 1344)


def walked(boxes: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor, iou: float, most: int) -> int:
    """How many candidates, the best first, NMS has to look at until it has kept `most`."""
    order = torch.sort(scores, descending=True, stable=True).indices
    suppresses = (box_iou(boxes[order], boxes[order]) > iou) & (groups[order, None] == groups[order])
    suppressed = torch.zeros(len(order), dtype=torch.bool)
    kept = 0
    for i in range(len(order)):
        if suppressed[i]:
            continue
        kept += 1
        suppressed |= suppresses[i]
        if kept == most:
            return i + 1
    return len(order)


def test_proposals_around_objects_suppress_each_other() -> None:
    """Of spread ones NMS looks at hardly more than it keeps."""
    generator = torch.Generator().manual_seed(0)
    boxes, scores, object_of = clustered_boxes(generator, 5000, 60, CANVAS)
    groups = torch.arange(5000) // 1000
    assert boxes.shape == (5000, 4)
    assert (boxes[:, 2:] >= boxes[:, :2]).all()
    assert (boxes >= 0).all() and (boxes <= torch.tensor([1344, 800, 1344, 800])).all()
    assert len(object_of.unique()) == 60
    clustered = walked(boxes, scores, groups, 0.7, 1000)
    spread = walked(random_boxes(generator, 5000, CANVAS), torch.rand(5000, generator=generator), groups, 0.7, 1000)
    print(f"{clustered} of 5000 candidates walked, of spread ones {spread}")
    assert spread < 1200
    assert clustered > 2 * spread


def test_detections_around_objects() -> None:
    """Scores are a softmax's: at most 19 above 0.05 in a row, few classes of each object."""
    generator = torch.Generator().manual_seed(0)
    boxes, scores, groups = clustered_detections(generator, 1000, 90, 40, CANVAS)
    assert boxes.shape == (90_000, 4)
    assert groups[:91].tolist() == [*range(90), 0]
    above = scores.reshape(1000, 90) > 0.05
    assert (scores.reshape(1000, 90).sum(1) <= 1.0001).all()
    assert 1000 < int(above.sum()) < 4000
    chosen = torch.where(scores > 0.05)[0]
    looked_at = walked(boxes[chosen], scores[chosen], groups[chosen], 0.5, 100)
    print(f"{looked_at} of {len(chosen)} candidates walked")
    assert looked_at > 500
