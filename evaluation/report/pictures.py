"""Pictures for the report: what each side found, and where a side differs from the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from maskrt.errors import ArgumentError
from maskrt.evaluation.metrics.match import Detections, match_detections
from maskrt.evaluation.report.document import Picture
from maskrt.evaluation.report.figures import count
from maskrt.evaluation.results.compare import InstanceRecord
from maskrt.runtime.draw import draw_instances
from maskrt.runtime.masks.rle import RLE, area
from maskrt.runtime.structures.instances import Instances
from maskrt.runtime.structures.masks import RleMasks

_LONGEST_SIDE = 640
_WEBP = (cv2.IMWRITE_WEBP_QUALITY, 78)

LOST = "orange"
GAINED = "blue"
# RGB; told apart with every kind of colour vision, and on grey (Okabe and Ito's palette).
_COLORS = {LOST: (240, 150, 0), GAINED: (60, 170, 255)}
_BACKGROUND_LIGHT = 0.45
"""How much of the grey picture stays behind the differences."""


@dataclass(frozen=True)
class Difference:
    """How the masks of a candidate differ from the reference's, on one image.

    Attributes:
        lost, gained: [H, W] bool, pixels of matched instances that only the reference, only the candidate has.
        missing, extra: instances of the reference and of the candidate without a counterpart.
        colors: for each instance of the candidate, the number of its counterpart in the reference, or one behind them.
    """

    lost: np.ndarray
    gained: np.ndarray
    missing: Instances
    extra: Instances
    colors: list[int]

    @property
    def pixels(self) -> int:
        """Mask pixels of matched instances that differ."""
        return int(self.lost.sum() + self.gained.sum())

    def __str__(self) -> str:
        parts = [
            f"{len(self.missing)} missing" if len(self.missing) else "",
            f"{len(self.extra)} extra" if len(self.extra) else "",
            f"{count(self.pixels, 'mask pixel')} different" if self.pixels else "",
        ]
        return ", ".join(part for part in parts if part) or "no difference"


def find_difference(reference: Instances, candidate: Instances, score_threshold: float) -> Difference:
    """Match the instances of both sides and compare the masks of each pair, or the boxes' areas without masks.

    Instances below the threshold only serve as counterparts: a score that crosses it by rounding is no difference.
    """
    height, width = reference.image_size
    lost, gained = np.zeros((2, height, width), dtype=bool)
    matching = match_detections(_detections(reference), _detections(candidate))
    colors = [len(reference) + number for number in range(len(candidate))]
    for i, j in matching.pairs:
        colors[j] = int(i)
        if max(reference.scores[i], candidate.scores[j]) < score_threshold:
            continue
        theirs, ours = _mask(reference[int(i)]), _mask(candidate[int(j)])
        lost |= theirs & ~ours
        gained |= ours & ~theirs
    missing, extra = reference[matching.missing], candidate[matching.extra]
    missing, extra = (side[side.scores >= score_threshold] for side in (missing, extra))
    return Difference(lost, gained, missing, extra, colors)


def plain_picture(image: np.ndarray, file: str) -> Picture:
    """Show the image itself."""
    return _encode(image, f"{file}, nothing drawn over it", "The picture")


def overlay_picture(image: np.ndarray, instances: Instances, colors: Sequence[int], side: str, file: str) -> Picture:
    """Draw the instances over the image; `side` names who found them, `colors` is as in `draw_instances`."""
    found = ", ".join(f"{name} {score:.0%}" for name, score in zip(instances.names, instances.scores, strict=True))
    return _encode(draw_instances(image, instances, colors), f"{side} on {file}: {found or 'nothing found'}", side)


def difference_picture(image: np.ndarray, difference: Difference, side: str, file: str) -> Picture:
    """Show the image in dark grey, the differences in colour: filled pixels, and outlines of what one side lacks."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    canvas = np.repeat((grey * _BACKGROUND_LIGHT).astype(np.uint8)[..., None], 3, axis=2)
    canvas[difference.lost] = _COLORS[LOST]
    canvas[difference.gained] = _COLORS[GAINED]
    line = max(round(float(np.sqrt(image.shape[0] * image.shape[1])) / 160), 2)
    for instances, color in ((difference.missing, LOST), (difference.extra, GAINED)):
        for instance in instances:
            outline, _ = cv2.findContours(_mask(instance).view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            cv2.drawContours(canvas, outline, -1, _COLORS[color], line, cv2.LINE_AA)
    return _encode(canvas, f"Where {side} differs on {file}: {difference}", f"{side}: {difference}")


def _detections(instances: Instances) -> Detections:
    return Detections(instances.boxes, instances.scores, instances.labels)


def _mask(instance: Instances) -> np.ndarray:
    """Paste the mask of a single instance, [H, W] bool."""
    if instance.has_masks:
        return instance.masks()[0]
    mask = np.zeros(instance.image_size, dtype=bool)
    left, top, right, bottom = np.rint(instance.boxes[0]).astype(int).clip(0)
    mask[top:bottom, left:right] = True
    return mask


def _encode(image: np.ndarray, alt: str, caption: str) -> Picture:
    scale = _LONGEST_SIDE / max(image.shape[:2])
    if scale < 1:
        size = max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".webp", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _WEBP)
    return Picture(data.tobytes(), (image.shape[0], image.shape[1]), alt, caption)


def instances_from_json(
    records: Sequence[InstanceRecord],
    class_names: Sequence[str],
    size: tuple[int, int],
    keypoint_names: tuple[str, ...] = (),
) -> Instances:
    """Make the instances of one side on one image, from compare.json.

    Args:
        records: as compare.json has them.
        class_names: the names that occur; they become the labels, from 1.
        size: (height, width) of the image.
        keypoint_names: of the keypoints; empty where they are not known.

    Raises:
        ArgumentError: a mask is damaged, or of an image of another size; there are more or fewer keypoints than names.
    """
    masks = [RLE(size=list(mask.size), counts=mask.counts) for record in records if (mask := record.rle) is not None]
    has_masks = len(masks) == len(records)
    for record in records:
        if record.rle is not None and record.rle.size != size:
            raise ArgumentError(f"An instance of {record.name!r} has a mask of another size than {size}.")
    for encoded in masks:
        area(encoded)  # says what is wrong with it
    keypoints = [record.keypoints for record in records if record.keypoints is not None]
    if len({len(numbers) for numbers in keypoints}) > 1 or any(len(numbers) % 3 for numbers in keypoints):
        raise ArgumentError("The instances of an image should have as many keypoints, of three numbers each.")
    if keypoint_names and any(len(numbers) != 3 * len(keypoint_names) for numbers in keypoints):
        raise ArgumentError(
            f"The instances of an image should have the {len(keypoint_names)} keypoints that are named."
        )
    has_keypoints = bool(records) and len(keypoints) == len(records)
    return Instances(
        boxes=np.array([record.box for record in records], dtype=np.float32).reshape(-1, 4),
        scores=np.array([record.score for record in records], dtype=np.float32),
        labels=np.array([1 + class_names.index(record.name) for record in records], dtype=np.int32),
        segmentations=RleMasks(tuple(masks)) if has_masks else None,
        class_names=("__background__", *class_names),
        image_size=size,
        keypoints=np.array(keypoints, dtype=np.float32).reshape(len(records), -1, 3) if has_keypoints else None,
        keypoint_names=keypoint_names if has_keypoints else (),
    )
