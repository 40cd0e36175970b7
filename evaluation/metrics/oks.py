"""What pycocotools needs to measure AP of keypoints by object keypoint similarity (OKS)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from maskrt.contract.keypoints import COCO_PERSON, COCO_PERSON_SIGMAS
from maskrt.errors import ArgumentError


def with_keypoints(ground_truth: dict[str, Any]) -> int:
    """Count the annotations that have keypoints."""
    return sum(bool(annotation.get("keypoints")) for annotation in ground_truth["annotations"])


def keypoint_truth(ground_truth: dict[str, Any], count: int) -> dict[str, Any]:
    """Complete the annotations: `num_keypoints` where it is missing, and no visible keypoint of those without any.

    Args:
        ground_truth: a COCO dictionary.
        count: of the model's keypoints.

    Raises:
        ArgumentError: annotations have another number of keypoints.
    """
    annotations = []
    for annotation in ground_truth["annotations"]:
        keypoints = annotation.get("keypoints") or [0] * (3 * count)
        if len(keypoints) != 3 * count:
            raise ArgumentError(
                f"The model finds {count} keypoints, but the annotation {annotation.get('id')} has {len(keypoints)} "
                f"numbers for them; expected {3 * count}: x, y and visibility of each."
            )
        visible = sum(value > 0 for value in keypoints[2::3])
        annotations.append({"num_keypoints": visible, **annotation, "keypoints": keypoints})
    return {**ground_truth, "annotations": annotations}


def sigmas_of(ground_truth: dict[str, Any], count: int) -> Sequence[float]:
    """Return how far annotators differ on each keypoint, as a share of the object's size.

    COCO's for the keypoints of a person; otherwise `sigmas` of a category of the data set.

    Raises:
        ArgumentError: they are not there, or not as many as there are keypoints.
    """
    for category in ground_truth.get("categories", []):
        sigmas = category.get("sigmas")
        if sigmas is None:
            continue
        if len(sigmas) != count or not all(isinstance(value, int | float) and value > 0 for value in sigmas):
            raise ArgumentError(
                f"The sigmas of the category {category.get('name')!r} should be {count} positive numbers, one for each "
                "keypoint."
            )
        return [float(value) for value in sigmas]
    if count == len(COCO_PERSON):
        return COCO_PERSON_SIGMAS
    raise ArgumentError(
        f"How exact {count} keypoints can be is not known, as it is of COCO's {len(COCO_PERSON)}: give a category of "
        'the data set "sigmas", a list with a number for each, for example 0.05, as a share of the object\'s size.'
    )
