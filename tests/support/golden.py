"""What a model file finds in pictures, compared with what the source framework found: a table row for each model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .references import ReferenceModel, picture

BOX_LIMIT = 0.05
"""Pixels of the picture."""

SCORE_LIMIT = 1e-4
KEYPOINT_LIMIT = 0.1
"""Pixels of the picture."""

IOU_LIMIT = 0.995
PIXEL_LIMIT = 2
"""Pixels by which a mask may differ that is not identical."""

IDENTICAL_SHARE = 0.9
"""Of masks, of each model. Two FP32 implementations differ at pixels whose probability is 0.5 but for rounding: the
frameworks themselves with other convolution kernels do as well. Over all models it is `IDENTICAL_SHARE_OF_ALL`."""

IDENTICAL_SHARE_OF_ALL = 0.98

_EDGE = 1e-5
"""Share of a cell: two FP32 implementations of a network differ by more in the sides of a box."""


@dataclass
class Row:
    """Over all pictures of a model.

    Attributes:
        name: of the model.
        detections: how many the framework found.
        wrong: pictures in which another number, or other classes, were found.
        box, score: the largest differences.
        masks, identical: how many there are, and how many are the same to the last pixel.
        pixels, iou: the most pixels by which a mask differs, and the smallest IoU, but for those on the edge.
        keypoints, moved: how many there are, and how many lie elsewhere, by more than `KEYPOINT_LIMIT`.
        keypoint_score: the largest difference of the others' scores.
        on_edge: masks that differ by more, of boxes of which RoIAlign takes another number of samples if a side
            changes in its last digits: the framework itself gives either on another processor.
    """

    name: str
    detections: int = 0
    wrong: list[str] = field(default_factory=list)
    box: float = 0.0
    score: float = 0.0
    masks: int = 0
    identical: int = 0
    pixels: int = 0
    iou: float = 1.0
    on_edge: int = 0
    keypoints: int = 0
    moved: int = 0
    keypoint_score: float = 0.0

    def __str__(self) -> str:
        """A line of the table."""
        masks = "no masks"
        if self.masks:
            share = self.identical / self.masks
            masks = f"{self.identical}/{self.masks} ({share:6.1%}) {self.pixels:3d} px {self.iou:.4f} {self.on_edge:2d}"
        if self.keypoints:
            masks += f"; {self.moved}/{self.keypoints} keypoints moved, scores {self.keypoint_score:.1e}"
        wrong = f"  WRONG in {', '.join(self.wrong)}" if self.wrong else ""
        return f"{self.name:32s} {self.detections:5d} {self.box:9.1e} px {self.score:9.1e}  {masks}{wrong}"


HEADER = f"{'model':32s} found {'box':>12s} {'score':>9s}  identical masks, most pixels, least IoU, on the edge"


def decode_masks(golden: dict[str, Any]) -> np.ndarray:
    """The framework's masks `[N, H, W]` bool."""
    from pycocotools import mask as coco_mask

    size = [int(side) for side in golden["rle_size"]]
    # Of arrays, counts are `numpy.bytes_`, which pycocotools does not take.
    texts = [counts if isinstance(counts, str) else bytes(counts) for counts in golden["rle_counts"]]
    masks = [coco_mask.decode({"size": size, "counts": counts}) for counts in texts]
    return np.array(masks, dtype=bool).reshape(-1, *size)


def compare_file(model: ReferenceModel, spec: Any, file: Path) -> Row:
    """Compare what a model's file finds in all pictures of which there are golden outputs; `spec` is the model's."""
    from maskrt.runtime import Segmenter

    segmenter, row = Segmenter(file, providers=["CPUExecutionProvider"]), Row(model.name)
    for shown in model.pictures():
        add_picture(row, shown, segmenter.predict(picture(shown)), model.golden(shown), spec)
    return row


def add_picture(row: Row, picture: str, instances: Any, golden: dict[str, np.ndarray], spec: Any) -> None:
    """Compare one picture.

    Args:
        row: changed.
        picture: its name.
        instances: what `Segmenter.predict` found in it.
        golden: the framework's outputs.
        spec: of the model.
    """
    row.detections += len(golden["scores"])
    if len(instances) != len(golden["scores"]) or (instances.labels - 1 != golden["classes"]).any():
        row.wrong.append(f"{picture} ({len(instances)} for {len(golden['scores'])})")
        return
    row.box = max(row.box, float(np.abs(instances.boxes - golden["boxes"]).max(initial=0)))
    row.score = max(row.score, float(np.abs(instances.scores - golden["scores"]).max(initial=0)))
    if "keypoints" in golden:
        differences = np.abs(instances.keypoints - golden["keypoints"])
        there = (differences[..., :2] <= KEYPOINT_LIMIT).all(axis=-1)
        row.keypoints, row.moved = row.keypoints + there.size, row.moved + int((~there).sum())
        row.keypoint_score = max(row.keypoint_score, float(differences[there, 2].max(initial=0)))
    else:
        assert instances.keypoints is None
    if "rle_counts" not in golden:
        assert not instances.has_masks
        return
    edge = _on_edge(golden, spec)
    own = decode_masks({"rle_size": golden["rle_size"], "rle_counts": [rle["counts"] for rle in instances.rle()]})
    for ours, theirs, is_on_edge in zip(own, decode_masks(golden), edge, strict=True):
        different, union = int((ours != theirs).sum()), int((ours | theirs).sum())
        row.masks += 1
        row.identical += different == 0
        if is_on_edge and different > PIXEL_LIMIT:
            row.on_edge += 1
        else:
            row.pixels = max(row.pixels, different)
            row.iou = min(row.iou, 1 - different / union if union else 1.0)


def _on_edge(golden: dict[str, np.ndarray], spec: Any) -> np.ndarray:
    """Which detections that are shown have an RoI of nearly a whole number of samples along a side."""
    pooling, boxes = spec.mask_head.pooling, golden["boxes_network"]
    edge = np.zeros(len(boxes), dtype=bool)
    if pooling.sampling_ratio == 0:
        sides = np.stack((boxes[:, 3] - boxes[:, 1], boxes[:, 2] - boxes[:, 0]), axis=1)
        for stride in pooling.strides:
            cells = sides / stride / np.array(pooling.output_size)
            edge |= (np.abs(cells - np.round(cells)) < _EDGE).any(axis=1)
    if len(boxes) == len(golden["scores"]):
        return edge
    kept = np.isin(golden["scores_network"], golden["scores"])  # the others were empty in the picture
    return edge[kept]


def golden_records(golden: dict[str, Any], image_id: int) -> list[dict[str, Any]]:
    """What the framework found in a picture as COCO result records; `category_id` is the label."""
    boxes = golden["boxes"].astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    size = [int(side) for side in golden["rle_size"]]
    return [
        {
            "image_id": image_id,
            "category_id": int(label) + 1,
            "bbox": box,
            "score": float(score),
            "segmentation": {"size": size, "counts": bytes(counts).decode("ascii")},
        }
        for label, box, score, counts in zip(
            golden["classes"], boxes.tolist(), golden["scores"], golden["rle_counts"], strict=True
        )
    ]


def print_table(rows: Iterable[Row]) -> None:
    """Print a line for each model."""
    print(f"\n{HEADER}")
    for row in rows:
        print(row)
